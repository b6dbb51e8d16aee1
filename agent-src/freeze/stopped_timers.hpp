// Finds the timers that a stop has disarmed by comparing two readings of /proc/timer_list, which does not say whose
// timers they are. Used if no SleepReader is available.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "common/kernel/process/timer_list.hpp"

namespace crx {

class StoppedTimers {
 public:
  // Records the armed timers before a stop.
  void look();
  // In the stop: a timer that was armed at the last look() or compare() and is not armed now, and is not due yet, was
  // disarmed by the stop or by an unrelated process.
  void compare();
  // Returns the latest of these that is due at or before due_ns: a call may end a little too late, but never too early.
  // Nothing if there is none.
  std::optional<int64_t> latest_until(int64_t due_ns) const;

 private:
  std::vector<SleepTimer> armed_;  // ascending
  std::vector<int64_t> disarmed_;  // ascending
};

}  // namespace crx
