// The first look at the process that a tool is to work on.
#pragma once

#include <sys/types.h>

namespace crx {

// Throws Error(victim_gone) if there is no process `pid`, and Error(refused) if it is of another user and we lack the
// privileges to trace it. tool: the name of the tool, for the remedy.
void check_target(pid_t pid, const char* tool);

}  // namespace crx
