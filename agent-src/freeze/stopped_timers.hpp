// Which timers a stop has disarmed, by comparing lists that do not say whose they are (/proc/timer_list): the second
// best, where KernelSleeps is not to be had.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "common/kernel/process/timer_list.hpp"

namespace crx {

class StoppedTimers {
 public:
  // Notes what is armed, before a stop.
  void look();
  // In the stop: what was armed at the last look or comparison and is no more, and would not have been due yet, has
  // been disarmed by the stop, or by strangers.
  void compare();
  // The latest of these that is due until then: a call that ends too late by a little is allowed, one that ends too
  // early is not.
  std::optional<int64_t> latest_until(int64_t due_ns) const;

 private:
  std::vector<SleepTimer> armed_;  // ascending
  std::vector<int64_t> disarmed_;  // ascending
};

}  // namespace crx
