// The privileges of crx itself on this host.
#pragma once

#include <sys/types.h>

namespace crx {

// Whether this process may look into the process and trace it: as root, with CAP_SYS_PTRACE (capabilities(7)), or as
// its user. Answers true where there is no such process, and for a root without that capability: what fails later says
// so.
bool may_trace(pid_t pid);

}  // namespace crx
