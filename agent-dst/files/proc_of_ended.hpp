// Files of /proc about processes and threads that have ended: they stay open, and tell their readers so (ESRCH).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "common/base/fd.hpp"

namespace crx {

// Opens `path` (/proc/PID/..., or /proc/PID/task/TID/...) of a process that lives for that moment only: under number
// `ended` where that is free, else under another one. pos: where the file is then. Throws Error naming the path.
Fd open_proc_of_ended(const std::string& path, int flags, uint64_t pos, pid_t ended);

}  // namespace crx
