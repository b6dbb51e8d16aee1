// Descriptors that no task has open: they wait in unix sockets to be received.
#pragma once

#include <vector>

#include "agent-src/tree/open_file.hpp"

namespace crx {

// Whether descriptors wait in any unix socket of a running tree, in connections to be accepted, too (`scm_fds` in
// /proc/PID/fdinfo, Linux 5.6). Until the stop nobody can say which: the other end of what is open here may be one of
// them.
bool has_in_flight_fds(const std::vector<OpenFile>& files);

}  // namespace crx
