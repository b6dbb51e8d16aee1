// Real-time scheduling for the milliseconds of the stop. On a busy host each hand-over between two processes would
// otherwise wait for the time slices of other processes.
#pragma once

#include <sys/types.h>

#include <utility>
#include <vector>

#include "common/kernel/process/sched.hpp"

namespace crx {

// Gives all threads of a process whose policy is SCHED_OTHER the policy SCHED_RR with the lowest priority; children
// inherit it. A thread that may not be changed is left alone: the stop then only takes longer. Never throws.
void make_realtime(pid_t pid) noexcept;

// Reverts it for a process whose Realtime object ended without its destructor.
void make_usual(pid_t pid) noexcept;

// Does the same during its lifetime. The destructor restores the previous scheduling of the threads that still exist.
class Realtime {
 public:
  explicit Realtime(pid_t pid) noexcept;
  ~Realtime();
  Realtime(Realtime&& other) noexcept = default;
  Realtime& operator=(Realtime&&) = delete;

 private:
  std::vector<std::pair<pid_t, SchedAttr>> before_;
};

}  // namespace crx
