// Waiting in a loop for what mostly happens within microseconds.
#pragma once

#include <sched.h>
#include <unistd.h>

namespace crx {

// A few turns awake, since being woken takes longer than most waits; then asleep, so that a thread with real-time
// priority does not keep the CPU from the very one it waits for.
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
