// Waits in a polling loop for an event that mostly happens within microseconds.
#pragma once

#include <sched.h>
#include <unistd.h>

namespace crx {

// The first kAwakeTurns calls of wait() only yield the CPU, since a wake-up from sleep takes longer than most waits.
// Later calls sleep for kNapUs microseconds, so that a thread with real-time priority does not keep the CPU from the
// thread it waits for.
class Backoff {
 public:
  void wait() noexcept {
    if (turn_ < kAwakeTurns) {
      ++turn_;
      ::sched_yield();
    } else {
      ::usleep(kNapUs);
    }
  }

 private:
  static constexpr int kAwakeTurns = 30;
  static constexpr unsigned kNapUs = 50;
  int turn_ = 0;
};

}  // namespace crx
