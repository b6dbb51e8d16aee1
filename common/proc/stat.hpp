// Parses /proc/PID/stat and /proc/PID/task/TID/stat (proc_pid_stat(5), fs/proc/array.c).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace crx::proc {

// All 52 fields, in the order of the file. Times are in clock ticks unless the name says otherwise. Addresses are 0 for
// a reader without ptrace access.
struct Stat {
  int32_t pid = 0;
  std::string comm;  // arbitrary bytes: it may contain spaces, parentheses and newlines
  char state = '?';
  int32_t ppid = 0;
  int32_t pgrp = 0;
  int32_t session = 0;
  int32_t tty_nr = 0;  // device number of the controlling terminal, 0 for none
  int32_t tpgid = 0;
  uint32_t flags = 0;  // PF_
  uint64_t minflt = 0;
  uint64_t cminflt = 0;
  uint64_t majflt = 0;
  uint64_t cmajflt = 0;
  uint64_t utime = 0;
  uint64_t stime = 0;
  int64_t cutime = 0;
  int64_t cstime = 0;
  int64_t priority = 0;
  int64_t nice = 0;
  int64_t num_threads = 0;
  int64_t itrealvalue = 0;
  uint64_t starttime = 0;  // since boot, in the reader's time namespace; it tells a reused pid apart
  uint64_t vsize = 0;      // bytes
  int64_t rss = 0;         // pages
  uint64_t rsslim = 0;
  uint64_t start_code = 0;
  uint64_t end_code = 0;
  uint64_t start_stack = 0;
  uint64_t kstkesp = 0;
  uint64_t kstkeip = 0;
  uint64_t signal = 0;
  uint64_t blocked = 0;
  uint64_t sigignore = 0;
  uint64_t sigcatch = 0;
  uint64_t wchan = 0;
  uint64_t nswap = 0;
  uint64_t cnswap = 0;
  int32_t exit_signal = 0;
  int32_t processor = 0;
  uint32_t rt_priority = 0;
  uint32_t policy = 0;
  uint64_t delayacct_blkio_ticks = 0;
  uint64_t guest_time = 0;
  int64_t cguest_time = 0;
  uint64_t start_data = 0;
  uint64_t end_data = 0;
  uint64_t start_brk = 0;
  uint64_t arg_start = 0;
  uint64_t arg_end = 0;
  uint64_t env_start = 0;
  uint64_t env_end = 0;
  int32_t exit_code = 0;  // in the format of waitpid(2)
};

// Throws Error(kernel) for a malformed text.
Stat parse_stat(std::string_view text);

}  // namespace crx::proc
