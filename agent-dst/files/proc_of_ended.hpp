// Files of /proc about processes and threads that have ended: they stay open, and reading them fails with ESRCH.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "common/base/fd.hpp"

namespace crx {

// Opens `path` (/proc/PID/..., or /proc/PID/task/TID/...) of a process that exists only during this call: with the pid
// `ended` if that is free, else with another one. pos: the file position afterwards. Throws Error naming the path.
Fd open_proc_of_ended(const std::string& path, int flags, uint64_t pos, pid_t ended);

}  // namespace crx
