#include <doctest/doctest.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "agent-src/freeze/timed_calls.hpp"
#include "common/kernel/process/timer_list.hpp"

using namespace crx;

TEST_CASE("sleep timers are read from a timer list, other timers are not") {
  const SleepTimers timers = parse_sleep_timers(
      "Timer List Version: v0.10\nHRTIMER_MAX_CLOCK_BASES: 8\nnow at 1793071596812 nsecs\n\ncpu: 0\n clock 0:\n"
      "  .base:       000000000562447b\n  .index:      0\n  .resolution: 1 nsecs\n  .offset:     0 nsecs\n"
      "active timers:\n #0: <00000000255b72af>, tick_nohz_handler, S:01\n"
      " # expires at 1793072000000-1793072000000 nsecs [in 403188 to 403188 nsecs]\n"
      " #1: <0000000016d82145>, hrtimer_wakeup, S:01\n"
      " # expires at 1793173198537-1793173317536 nsecs [in 101601725 to 101720724 nsecs]\n"
      " clock 2:\n  .offset:     1000 nsecs\nactive timers:\n #0: <0000000000000007>, hrtimer_wakeup, S:01\n"
      " # expires at 5000-6000 nsecs [in 1 to 2 nsecs]\n");
  CHECK(timers.now_ns == 1793071596812);
  REQUIRE(timers.armed.size() == 2);
  CHECK(timers.armed[0] == SleepTimer{7, 4000});  // measured from the monotonic clock
  CHECK(timers.armed[1] == SleepTimer{0x16d82145, 1793173198537});
  CHECK(parse_sleep_timers("nothing of the kind").armed.empty());
}

TEST_CASE("a call's time limit is found where the call has it") {
  const pid_t self = ::getpid();
  const timespec two{2, 5};
  const auto at = reinterpret_cast<uint64_t>(&two);
  const Limit epoll = limit_of(self, {SYS_epoll_wait, {3, 0, 1, 250}});
  CHECK(epoll.kind == LimitKind::register_ms);
  CHECK(epoll.argument == 3);
  CHECK(epoll.ns == 250'000'000);
  CHECK(limit_of(self, {SYS_epoll_wait, {3, 0, 1, 0xffffffff}}).kind == LimitKind::none);
  CHECK(limit_of(self, {SYS_rt_sigtimedwait, {0, 0, at, 8}}).ns == 2'000'000'005);
  CHECK(limit_of(self, {SYS_rt_sigtimedwait, {0, 0, 0, 8}}).kind == LimitKind::none);
  CHECK(limit_of(self, {SYS_clock_nanosleep, {1, 0, at, 0}}).ns == 2'000'000'005);
  CHECK(limit_of(self, {SYS_clock_nanosleep, {1, TIMER_ABSTIME, at, 0}}).kind == LimitKind::none);
  CHECK(limit_of(self, {SYS_futex, {8, 0x80, 0, at}}).kind == LimitKind::pointer);  // FUTEX_WAIT_PRIVATE
  CHECK(limit_of(self, {SYS_futex, {8, 0x89, 0, at}}).kind == LimitKind::none);     // FUTEX_WAIT_BITSET_PRIVATE
  CHECK(limit_of(self, {SYS_nanosleep, {16, 0}}).kind == LimitKind::none);          // not readable
}

TEST_CASE("calls that did nothing when interrupted may be made again, others not") {
  CHECK(may_be_made_again({SYS_epoll_wait, {}}));
  CHECK(may_be_made_again({SYS_semtimedop, {}}));
  CHECK_FALSE(may_be_made_again({SYS_close, {}}));
  CHECK_FALSE(may_be_made_again({SYS_ioctl, {}}));
  CHECK_FALSE(may_be_made_again({-1, {}}));
}

TEST_CASE("a restarted call is recognized by where it waits") {
  CHECK(call_behind_restart("poll_schedule_timeout.constprop.0", {SYS_restart_syscall, {}}) == SYS_poll);
  CHECK(call_behind_restart("futex_do_wait", {SYS_restart_syscall, {}}) == SYS_futex);
  CHECK(call_behind_restart("hrtimer_nanosleep", {SYS_restart_syscall, {1, 0, 0x7f0000001000}}) == SYS_clock_nanosleep);
  CHECK(call_behind_restart("do_syscall_64", {SYS_restart_syscall, {0x7f0000001000, 0}}) == SYS_nanosleep);
}
