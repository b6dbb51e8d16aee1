// Real-time scheduling for the milliseconds of a stop: on a busy host each hand-over between two processes would
// otherwise wait for the time slices of others.
#pragma once

#include <sys/types.h>

#include <utility>
#include <vector>

#include "common/kernel/process/sched.hpp"

namespace crx {

// Gives all threads of a process SCHED_RR at the lowest priority, where their policy is SCHED_OTHER; what they fork
// inherits it. What is not allowed is left as it is: a stop at usual priority only takes longer. Never throws.
void make_realtime(pid_t pid) noexcept;

// Undoes it for a process whose Realtime ended without its destructor.
void make_usual(pid_t pid) noexcept;

// The same while it lives; afterwards the threads that still live are scheduled as before.
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
