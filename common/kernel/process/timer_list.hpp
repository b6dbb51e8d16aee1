// The timers on which threads sleep, from /proc/timer_list: it shows when they expire, but not which thread sleeps on
// which.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace crx {

// The timer of a thread in nanosleep(2), poll(2), futex(2), epoll_wait(2) and the like. Times are nanoseconds of
// CLOCK_MONOTONIC in the initial time namespace.
struct SleepTimer {
  uint64_t id = 0;  // the kernel's (hashed) address of the timer
  int64_t due_ns = 0;
  auto operator<=>(const SleepTimer&) const = default;
};

struct SleepTimers {
  int64_t now_ns = 0;             // the time at which the list was made
  std::vector<SleepTimer> armed;  // ascending
};

// Unknown lines are skipped.
SleepTimers parse_sleep_timers(std::string_view text);
// Empty (now_ns 0) when the kernel has no such file or we may not read it (it requires root in the initial user
// namespace). The kernel omits a timer when an earlier one ends while the list is printed, because
// kernel/time/timer_list.c counts from the start again for each line; this affects one timer in 25 when threads sleep
// for 50 us each. So the file is read `times` times, some 70 us each, and a timer counts that was seen in any of them;
// now_ns is that of the first reading.
SleepTimers read_sleep_timers(int times = 2);

}  // namespace crx
