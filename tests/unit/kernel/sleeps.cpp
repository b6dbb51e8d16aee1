#include <doctest/doctest.h>
#include <fmt/format.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <optional>
#include <string>
#include <thread>

#include "common/base/clock.hpp"
#include "common/base/fd.hpp"
#include "common/kernel/introspect/kernel_sleeps.hpp"
#include "common/kernel/process/time_namespace.hpp"

namespace crx {
namespace {

constexpr int64_t kLimitNs = 30'000'000'000;
constexpr int kSignal = SIGUSR1;

timespec as_timespec(int64_t ns) {
  return {ns / 1'000'000'000, ns % 1'000'000'000};
}

// A thread of ours in a call with a time limit, until this object is destroyed.
class Sleeper {
 public:
  Sleeper(const KernelSleeps& sleeps, std::function<void()> call)
      : thread_([this, &sleeps, call = std::move(call)] {
          task_ = sleeps.own_task();
          tid_ = ::gettid();
          for (; !over_; ++calls_) call();
          ended_ = true;
        }) {
    const Deadline deadline = Deadline::in_ms(10'000);
    while (!asleep() && !deadline.passed()) std::this_thread::yield();
    REQUIRE(asleep());
  }
  ~Sleeper() {
    over_ = true;
    // A thread between its check of over_ and its call needs another signal.
    while (!ended_) {
      ::pthread_kill(thread_.native_handle(), kSignal);
      std::this_thread::yield();
    }
    thread_.join();
  }
  uint64_t task() const { return task_; }
  // Its call is interrupted, and it makes the call again.
  void sleep_anew() {
    const int before = calls_;
    const Deadline deadline = Deadline::in_ms(10'000);
    ::pthread_kill(thread_.native_handle(), kSignal);
    while ((calls_ == before || !asleep()) && !deadline.passed()) std::this_thread::yield();
    REQUIRE_FALSE(deadline.passed());
  }

 private:
  bool asleep() const {
    return tid_ != 0 && !read_file(fmt::format("/proc/self/task/{}/syscall", tid_.load())).starts_with("running");
  }
  std::atomic<uint64_t> task_ = 0;
  std::atomic<pid_t> tid_ = 0;
  std::atomic<int> calls_ = 0;
  std::atomic<bool> over_ = false, ended_ = false;
  std::thread thread_;
};

}  // namespace

TEST_CASE("kernel.sleeps: the end of a thread's sleep is found") {
  const std::optional<KernelSleeps> sleeps = KernelSleeps::open();
  if (!sleeps) return;  // this kernel, or these privileges, do not allow it
  struct sigaction action {};
  action.sa_handler = [](int) {};
  REQUIRE(::sigaction(kSignal, &action, nullptr) == 0);
  const int64_t lead_ns = time_offsets(0).monotonic_ns;
  const auto due_of = [&](const Sleeper& sleeper) {
    const auto timer = sleeps->timer_of(sleeper.task(), sleeps->armed());
    return timer ? timer->due_ns + lead_ns : 0;
  };

  SUBCASE("to the nanosecond, where it is a point in time") {
    const int64_t due_ns = clock_ns(CLOCK_MONOTONIC) + kLimitNs;
    const timespec due = as_timespec(due_ns);
    const Sleeper sleeper(*sleeps, [&] { ::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, nullptr); });
    CHECK(due_of(sleeper) == due_ns);
    int word = 0;
    const Sleeper waiter(*sleeps,
                         [&] { ::syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE, 0, &due, nullptr, ~0U); });
    CHECK(due_of(waiter) == due_ns);
    // A clock with a timer tree of its own.
    const int64_t real_ns = clock_ns(CLOCK_REALTIME) + kLimitNs,
                  real_lead_ns = clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_MONOTONIC);
    const timespec real_due = as_timespec(real_ns);
    const Sleeper dreamer(*sleeps, [&] { ::clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &real_due, nullptr); });
    CHECK(std::abs(due_of(dreamer) - (real_ns - real_lead_ns)) < 100'000);
  }

  SUBCASE("from when its call began, where it is a duration") {
    const timespec limit = as_timespec(kLimitNs);
    const Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
    epoll_event event{};
    sigset_t none;
    sigemptyset(&none);
    const std::function<void()> calls[] = {
        [&] { ::nanosleep(&limit, nullptr); },
        [&] { ::epoll_wait(epoll.get(), &event, 1, static_cast<int>(kLimitNs / 1'000'000)); },
        [&] { ::sigtimedwait(&none, nullptr, &limit); },
    };
    for (const auto& call : calls) {
      const int64_t before_ns = clock_ns(CLOCK_MONOTONIC);
      const Sleeper sleeper(*sleeps, call);
      const int64_t after_ns = clock_ns(CLOCK_MONOTONIC), due_ns = due_of(sleeper);
      CHECK(due_ns >= before_ns + kLimitNs);
      CHECK(due_ns <= after_ns + kLimitNs);
    }
  }

  SUBCASE("not of one that does not sleep") {
    CHECK_FALSE(sleeps->timer_of(sleeps->own_task(), sleeps->armed()));
  }

  SUBCASE("and not taken for what it was, when it sleeps anew") {
    const timespec limit = as_timespec(kLimitNs);
    Sleeper sleeper(*sleeps, [&] { ::nanosleep(&limit, nullptr); });
    const auto timer = sleeps->timer_of(sleeper.task(), sleeps->armed());
    REQUIRE(timer);
    CHECK(sleeps->due_now(*timer) == timer->due_ns);
    const uint64_t switches = sleeps->switches_of(sleeper.task());
    const int64_t before_ns = clock_ns(CLOCK_MONOTONIC);
    sleeper.sleep_anew();
    CHECK(sleeps->switches_of(sleeper.task()) > switches);
    const auto due_ns = sleeps->due_now(*timer);  // if the thread's stack is unchanged
    CHECK((!due_ns || *due_ns + lead_ns >= before_ns + kLimitNs));
    CHECK(due_of(sleeper) >= before_ns + kLimitNs);
  }
}

// Timers are added and removed while their trees are read, so some of the reading is in vain.
TEST_CASE("kernel.sleeps: a timer is found among thousands that change") {
  const std::optional<KernelSleeps> sleeps = KernelSleeps::open();
  if (!sleeps) return;
  struct sigaction action {};
  action.sa_handler = [](int) {};
  REQUIRE(::sigaction(kSignal, &action, nullptr) == 0);
  std::atomic<bool> over = false;
  std::vector<std::thread> strangers;
  for (int i = 0; i < 40; ++i) {
    strangers.emplace_back([&over, i] {
      const timespec length{0, 20'000 + i * 7'000};
      while (!over) ::nanosleep(&length, nullptr);
    });
  }
  const timespec limit = as_timespec(kLimitNs);
  int missed = 0;
  {
    const Sleeper sleeper(*sleeps, [&] { ::nanosleep(&limit, nullptr); });
    for (int i = 0; i < 300; ++i) missed += sleeps->timer_of(sleeper.task(), sleeps->armed()) ? 0 : 1;
  }
  over = true;
  for (std::thread& stranger : strangers) stranger.join();
  CHECK(missed == 0);
}

}  // namespace crx
