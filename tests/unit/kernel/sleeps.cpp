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
#include "common/kernel/introspect/kernel_view.hpp"
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
  explicit Sleeper(std::function<void()> call)
      : thread_([this, call = std::move(call)] {
          tid_ = ::gettid();
          for (; !over_; ++calls_) call();
          ended_ = true;
        }) {
    const Deadline deadline = Deadline::in_ms(10'000);
    bool is_asleep = asleep();
    for (; !is_asleep && !deadline.passed(); is_asleep = asleep()) std::this_thread::yield();
    REQUIRE(is_asleep);
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
  pid_t tid() const { return tid_; }
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
  std::atomic<pid_t> tid_ = 0;
  std::atomic<int> calls_ = 0;
  std::atomic<bool> over_ = false, ended_ = false;
  std::thread thread_;
};

}  // namespace

TEST_CASE("kernel.sleeps: the end of a thread's sleep is found") {
  KernelView view;
  const SleepReader* const sleeps = view.sleeps();
  REQUIRE_MESSAGE(sleeps != nullptr, view.reason());
  struct sigaction action {};
  action.sa_handler = [](int) {};
  REQUIRE(::sigaction(kSignal, &action, nullptr) == 0);
  const int64_t lead_ns = time_offsets(0).monotonic_ns;
  const auto due_of = [&](const Sleeper& sleeper) {
    const auto timer = sleeps->timer_of(sleeper.tid());
    return timer && timer->due_ns ? *timer->due_ns + lead_ns : 0;
  };

  SUBCASE("to the nanosecond, where it is a point in time") {
    const int64_t due_ns = clock_ns(CLOCK_MONOTONIC) + kLimitNs;
    const timespec due = as_timespec(due_ns);
    const Sleeper sleeper([&] { ::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, nullptr); });
    CHECK(due_of(sleeper) == due_ns);
    int word = 0;
    const Sleeper waiter([&] { ::syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE, 0, &due, nullptr, ~0U); });
    CHECK(due_of(waiter) == due_ns);
    // A clock with a timer tree of its own.
    const int64_t real_ns = clock_ns(CLOCK_REALTIME) + kLimitNs,
                  real_lead_ns = clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_MONOTONIC);
    const timespec real_due = as_timespec(real_ns);
    const Sleeper dreamer([&] { ::clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &real_due, nullptr); });
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
      const Sleeper sleeper(call);
      const int64_t after_ns = clock_ns(CLOCK_MONOTONIC), due_ns = due_of(sleeper);
      CHECK(due_ns >= before_ns + kLimitNs);
      CHECK(due_ns <= after_ns + kLimitNs);
    }
  }

  SUBCASE("not of one that does not sleep, or does not exist") {
    CHECK_FALSE(sleeps->timer_of(::gettid()));
    CHECK_FALSE(sleeps->timer_of(1 << 22));
  }

  SUBCASE("not of one that sleeps without a limit, though its stack has the timers of earlier calls") {
    const timespec moment = as_timespec(1);
    const Sleeper sleeper([&] {
      ::nanosleep(&moment, nullptr);
      ::pause();
    });
    // The thread may still be in its first, short sleep, or run.
    const Deadline deadline = Deadline::in_ms(10'000);
    auto timer = sleeps->timer_of(sleeper.tid());
    while ((!timer || timer->due_ns) && !deadline.passed()) timer = sleeps->timer_of(sleeper.tid());
    REQUIRE(timer);
    CHECK_FALSE(timer->due_ns);
  }

  SUBCASE("and not taken for what it was, when it sleeps anew") {
    const timespec limit = as_timespec(kLimitNs);
    Sleeper sleeper([&] { ::nanosleep(&limit, nullptr); });
    const auto first = sleeps->timer_of(sleeper.tid());
    REQUIRE(first);
    const int64_t before_ns = clock_ns(CLOCK_MONOTONIC);
    sleeper.sleep_anew();
    const auto second = sleeps->timer_of(sleeper.tid());
    REQUIRE(second);
    CHECK(second->switches > first->switches);
    CHECK(*second->due_ns > *first->due_ns);
    CHECK(due_of(sleeper) >= before_ns + kLimitNs);
  }
}

// Timers are added and removed while their trees are read, so some of the reading is in vain.
TEST_CASE("kernel.sleeps: a timer is found among thousands that change") {
  KernelView view;
  const SleepReader* const sleeps = view.sleeps();
  REQUIRE_MESSAGE(sleeps != nullptr, view.reason());
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
    const Sleeper sleeper([&] { ::nanosleep(&limit, nullptr); });
    for (int i = 0; i < 300; ++i) missed += sleeps->timer_of(sleeper.tid()).value_or(ThreadSleep{}).due_ns ? 0 : 1;
  }
  over = true;
  for (std::thread& stranger : strangers) stranger.join();
  CHECK(missed == 0);
}

}  // namespace crx
