// The timers that threads sleep on, as /proc/timer_list shows them: when they are due, but not whose they are.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace crx {

// Of a thread in nanosleep(2), poll(2), futex(2), epoll_wait(2), ... Times in nanoseconds of the initial time
// namespace's CLOCK_MONOTONIC.
struct SleepTimer {
  uint64_t id = 0;  // the kernel's (hashed) address of it
  int64_t due_ns = 0;
  auto operator<=>(const SleepTimer&) const = default;
};

struct SleepTimers {
  int64_t now_ns = 0;             // when the list was made
  std::vector<SleepTimer> armed;  // ascending
};

// Passes over what it does not know.
SleepTimers parse_sleep_timers(std::string_view text);
// Empty (now_ns 0) where the kernel has no such file or we may not read it (it wants root of the initial user
// namespace). The kernel leaves a timer out when one before it ends while the list is printed (kernel/time/timer_list.c
// counts from the start again for each line), which is one in 25 where threads sleep for 50 us each. So all is read
// `times`, some 70 us each, and a timer counts that was seen once; now_ns is that of the first time.
SleepTimers read_sleep_timers(int times = 2);

}  // namespace crx
