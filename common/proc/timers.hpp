// Parses /proc/PID/timers: the POSIX timers of a process (proc_pid_timers(5), fs/proc/base.c).
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace crx::proc {

struct PosixTimer {
  int32_t id = 0;
  int32_t signo = 0;
  uint64_t sigval = 0;
  int32_t notify = 0;      // SIGEV_SIGNAL 0, SIGEV_NONE 1, SIGEV_THREAD 2; SIGEV_THREAD_ID 4 where `to_thread`
  bool to_thread = false;  // `pid` is the id of a thread
  int32_t pid = 0;         // in the PID namespace of the /proc mount
  int32_t clock_id = 0;
};

// In the order of the file.
std::vector<PosixTimer> parse_timers(std::string_view text);

}  // namespace crx::proc
