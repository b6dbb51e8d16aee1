// Descriptors in flight: they are in no task's table, since they wait in unix sockets to be received (SCM_RIGHTS).
#pragma once

#include <vector>

#include "agent-src/tree/open_file.hpp"

namespace crx {

// Whether descriptors are in flight in any unix socket of a running tree, including connections that are not accepted
// yet (`scm_fds` in /proc/PID/fdinfo, Linux 5.6). Before the stop it is unknown which ones they are: the other end of
// an open pipe may be one of them.
bool has_in_flight_fds(const std::vector<OpenFile>& files);

}  // namespace crx
