// Calls with a time limit end at the right time, after any number of stops.
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <string>

#include "agent-src/freeze/frozen_tree.hpp"
#include "common/base/fd.hpp"
#include "common/kernel/introspect/kernel_view.hpp"
#include "common/kernel/process/time_namespace.hpp"
#include "tests/unit/less_privileged.hpp"

namespace crx {
namespace {

constexpr int kStops = 5, kBusyStops = 1000;
constexpr int64_t kNsPerMs = 1'000'000, kLimitMs = 60'000, kLimitNs = kLimitMs * kNsPerMs;
// the delay that the kernel may add to a sleep to wake several threads at once (PR_SET_TIMERSLACK)
constexpr int64_t kSlackNs = 50'000;
constexpr int64_t kAsleepNs = 100 * kNsPerMs;
constexpr std::size_t kSleepers = 6;

struct Sleeper {
  std::atomic<pid_t> tid;
  std::atomic<int64_t> began_ns;
};
struct SharedPage {
  Sleeper sleepers[kSleepers];
};
SharedPage* shared = nullptr;

void sleep_in(std::size_t slot) {
  const timespec limit{kLimitMs / 1000, 0};
  epoll_event event{};
  sigset_t none;
  sigemptyset(&none);
  int word = 0;
  const int epoll = ::epoll_create1(0);
  shared->sleepers[slot].began_ns = clock_ns(CLOCK_MONOTONIC);
  shared->sleepers[slot].tid = ::gettid();
  switch (slot) {
    case 0:
      ::nanosleep(&limit, nullptr);
      break;
    case 1:
      ::clock_nanosleep(CLOCK_BOOTTIME, 0, &limit, nullptr);
      break;
    case 2:
      ::poll(nullptr, 0, kLimitMs);
      break;
    case 3:
      ::syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &limit, nullptr, 0);
      break;
    case 4:
      ::epoll_wait(epoll, &event, 1, kLimitMs);
      break;
    default:
      ::sigtimedwait(&none, nullptr, &limit);
      break;
  }
  ::_exit(1);
}

[[noreturn]] void victim() {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::prctl(PR_SET_TIMERSLACK, kSlackNs);
  for (std::size_t i = 0; i < kSleepers; ++i) {
    pthread_t thread{};
    ::pthread_create(
        &thread, nullptr,
        [](void* slot) -> void* {
          sleep_in(reinterpret_cast<std::size_t>(slot));
          return nullptr;
        },
        reinterpret_cast<void*>(i));
  }
  for (;;) ::pause();
}

bool is_asleep(pid_t pid, pid_t tid) {
  return tid != 0 && !read_file(fmt::format("/proc/{}/task/{}/syscall", pid, tid)).starts_with("running");
}

// Returns when a stopped thread's sleep ends, on our clock.
int64_t due_of(const FrozenThread& thread, pid_t pid) {
  if (thread.sleep) return thread.sleep->due_ns + time_offsets(0).monotonic_ns;
  REQUIRE(thread.again);
  SystemCall call = call_of(thread.regs);
  call.nr = thread.again->nr;
  return clock_ns(CLOCK_MONOTONIC) + limit_of(pid, call).ns;
}

// Stops a victim again and again. exact: the end of its calls is known, and not only that they do not end too early.
void check_stops(KernelView& kernel, bool exact) {
  shared = static_cast<SharedPage*>(
      ::mmap(nullptr, sizeof(SharedPage), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  REQUIRE(shared != MAP_FAILED);
  const pid_t pid = ::fork();
  REQUIRE(pid >= 0);
  if (pid == 0) victim();
  const Deadline deadline = Deadline::in_ms(20'000);
  int64_t asleep_ns = 0, stopped_ns = 0, last_stop_ns = 0;
  const auto all_asleep = [&] {
    for (const Sleeper& sleeper : shared->sleepers) {
      if (!is_asleep(pid, sleeper.tid)) return false;
    }
    if (asleep_ns == 0) asleep_ns = clock_ns(CLOCK_MONOTONIC);
    return true;
  };
  for (int stop = 0; stop < kStops; ++stop) {
    // Long enough to notice a call that begins anew.
    while ((!all_asleep() || clock_ns(CLOCK_MONOTONIC) < asleep_ns + kAsleepNs) && !deadline.passed()) ::sched_yield();
    REQUIRE_FALSE(deadline.passed());
    if (stop > 0) stopped_ns += clock_ns(CLOCK_MONOTONIC) - last_stop_ns;
    FrozenTree tree = FrozenTree::freeze(pid, Deadline::in_ms(10'000), kernel);
    for (const FrozenThread& thread : tree.root().threads()) {
      for (std::size_t i = 0; i < kSleepers; ++i) {
        if (shared->sleepers[i].tid != thread.tid()) continue;
        INFO("call ", i, " in stop ", stop);
        const int64_t due_ns = due_of(thread, pid), told_ns = clock_ns(CLOCK_MONOTONIC);
        CHECK(due_ns >= shared->sleepers[i].began_ns + kLimitNs);
        CHECK(due_ns <= told_ns + kLimitNs);
        if (!exact) continue;
        // A call that is made again has the time that was left when it was stopped, in milliseconds, rounded up.
        const int64_t again_ns = stopped_ns + (told_ns - tree.stopped_since_us() * 1000) + (stop + 1) * kNsPerMs;
        CHECK(due_ns <= asleep_ns + kLimitNs + (thread.again ? again_ns : kSlackNs));
      }
    }
    last_stop_ns = tree.stopped_since_us() * 1000;
    tree.thaw();
  }
  ::kill(pid, SIGKILL);
  ::waitpid(pid, nullptr, 0);
  ::munmap(shared, sizeof(SharedPage));
}

// One thread waits again and again, and mostly gets its event soon; the other thread makes the events.
[[noreturn]] void busy_victim() {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  static int event_fd;
  event_fd = ::eventfd(0, 0);
  pthread_t thread{};
  ::pthread_create(
      &thread, nullptr,
      [](void*) -> void* {
        for (const timespec gap{0, 100'000};;) {
          const uint64_t one = 1;
          ::nanosleep(&gap, nullptr);
          if (::write(event_fd, &one, sizeof one) < 0) ::_exit(1);
        }
      },
      nullptr);
  const int epoll = ::epoll_create1(0);
  epoll_event event{EPOLLIN, {}};
  ::epoll_ctl(epoll, EPOLL_CTL_ADD, event_fd, &event);
  shared->sleepers[0].tid = ::gettid();
  for (uint64_t count = 0;;) {
    shared->sleepers[0].began_ns = clock_ns(CLOCK_MONOTONIC);
    if (::epoll_wait(epoll, &event, 1, kLimitMs) == 1 && ::read(event_fd, &count, sizeof count) < 0) ::_exit(1);
  }
}

}  // namespace

TEST_CASE("calls with a time limit end when they should, after any number of stops") {
  KernelView kernel;
  REQUIRE_MESSAGE(kernel.sleeps() != nullptr, kernel.reason());
  check_stops(kernel, true);
}

TEST_CASE("calls with a time limit do not end early if they begin anew all the time") {
  shared = static_cast<SharedPage*>(
      ::mmap(nullptr, sizeof(SharedPage), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  REQUIRE(shared != MAP_FAILED);
  const pid_t pid = ::fork();
  REQUIRE(pid >= 0);
  if (pid == 0) busy_victim();
  const Deadline deadline = Deadline::in_ms(20'000);
  while (!is_asleep(pid, shared->sleepers[0].tid) && !deadline.passed()) ::sched_yield();
  KernelView kernel;
  REQUIRE_MESSAGE(kernel.sleeps() != nullptr, kernel.reason());
  int waits = 0;
  for (int stop = 0; stop < kBusyStops; ++stop) {
    FrozenTree tree = FrozenTree::freeze(pid, Deadline::in_ms(10'000), kernel);
    const FrozenThread& thread = tree.root().leader();
    if (thread.again) {
      ++waits;
      CHECK(due_of(thread, pid) >= shared->sleepers[0].began_ns + kLimitNs);
    }
    tree.thaw();
  }
  CHECK(waits > 0);
  ::kill(pid, SIGKILL);
  ::waitpid(pid, nullptr, 0);
  ::munmap(shared, sizeof(SharedPage));
}

TEST_CASE("calls with a time limit do not end early if the kernel cannot be read") {
  const LessPrivileged less;
  KernelView kernel;
  CHECK(kernel.sleeps() == nullptr);
  check_stops(kernel, false);
}

TEST_CASE("calls with a time limit do not end early if looking into the kernel is switched off") {
  KernelView kernel(false);
  check_stops(kernel, false);
  CHECK(kernel.access() == KernelAccess::off);
}

}  // namespace crx
