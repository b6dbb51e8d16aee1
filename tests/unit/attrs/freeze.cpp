// A busy process with threads in all kinds of system calls is frozen, collected and released, again and again.
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstring>
#include <string>

#include "agent-src/collect/kind/collector.hpp"
#include "agent-src/collect/kind/file_table.hpp"
#include "agent-src/freeze/frozen_task.hpp"
#include "common/image/image_store.hpp"
#include "common/image/magic.hpp"
#include "common/proc/status.hpp"

using namespace crx;

namespace {

constexpr int kFreezes = 100;
constexpr std::size_t kSleepers = 8;

struct SharedPage {
  std::atomic<int> ready;
  std::atomic<long> rounds[4 + kSleepers];
  std::atomic<long> interrupted, early, wrong;
};
SharedPage* shared = nullptr;

int64_t now_ns() {
  return clock_ns(CLOCK_MONOTONIC);
}

// Makes one kind of call again and again; counts results that a program must never see.
template <typename Call>
void* repeat(std::size_t slot, int64_t least_ns, Call call) {
  shared->ready++;
  for (;;) {
    const int64_t began = now_ns();
    errno = 0;
    if (call() < 0 && errno == EINTR) shared->interrupted++;
    if (now_ns() - began < least_ns) shared->early++;
    shared->rounds[slot]++;
  }
}

void* wait_epoll(void*) {
  const int epoll = ::epoll_create1(0);
  epoll_event event{};
  return repeat(0, 3'000'000, [&] { return ::epoll_wait(epoll, &event, 1, 3); });
}
void* wait_signal(void*) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  const timespec limit{0, 4'000'000};
  return repeat(1, 4'000'000, [&] { return ::sigtimedwait(&set, nullptr, &limit); });
}
void* wait_poll(void*) {
  return repeat(2, 2'000'000, [] { return ::poll(nullptr, 0, 2); });
}
void* compute(void*) {
  shared->ready++;
  for (double x = 1;; shared->rounds[3]++) {
    char a[512], b[512];
    std::memset(a, static_cast<int>(shared->rounds[3] & 0x7f), sizeof a);
    std::memcpy(b, a, sizeof b);
    for (int i = 0; i < 100; ++i) x = x * 1.0000001 + 1e-9;
    if (std::memcmp(a, b, sizeof a) != 0 || !(x > 0)) shared->wrong++;
    if (x > 2) x = 1;
  }
}
void* sleep_some(void* argument) {
  const auto slot = reinterpret_cast<std::size_t>(argument);
  const timespec length{0, static_cast<long>(1'000'000 + slot * 700'000)};
  return repeat(4 + slot, length.tv_nsec, [&] { return ::nanosleep(&length, nullptr); });
}

[[noreturn]] void victim() {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::close_range(0, ~0U, 0);
  const auto start = [](void* (*body)(void*), std::size_t argument) {
    pthread_t thread{};
    ::pthread_create(&thread, nullptr, body, reinterpret_cast<void*>(argument));
  };
  start(wait_epoll, 0);
  start(wait_signal, 0);
  start(wait_poll, 0);
  start(compute, 0);
  for (std::size_t i = 0; i < kSleepers; ++i) start(sleep_some, i);
  for (;;) ::pause();
}

std::string state_of(pid_t pid) {
  const auto status = proc::parse_status(read_file("/proc/" + std::to_string(pid) + "/status"));
  return fmt::format("{} {} {} {:x} {:x} {:x} {:x} {}\n{}", status.name, status.threads, status.tracer_pid,
                     status.pending, status.shared_pending, status.blocked, status.ignored, status.seccomp,
                     read_file("/proc/" + std::to_string(pid) + "/maps"));
}

long least_rounds() {
  long least = LONG_MAX;
  for (const auto& rounds : shared->rounds) least = std::min(least, rounds.load());
  return least;
}

}  // namespace

TEST_CASE("freezing, collecting and thawing a busy process harms nothing") {
  shared = static_cast<SharedPage*>(
      ::mmap(nullptr, sizeof(SharedPage), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  REQUIRE(shared != MAP_FAILED);
  const pid_t pid = ::fork();
  REQUIRE(pid >= 0);
  if (pid == 0) victim();
  const Deadline deadline = Deadline::in_ms(60'000);
  while (least_rounds() < 3 && !deadline.passed()) ::sched_yield();
  const std::string before = state_of(pid);
  CallSites sites;
  KernelView kernel;
  for (int i = 0; i < kFreezes; ++i) {
    FrozenTree tree = FrozenTree::freeze(pid, Deadline::in_ms(10'000), kernel);
    CHECK(tree.root().threads().size() == 5 + kSleepers);
    tree.inject(sites);
    FileTable files;
    ImageStore images;
    collect_tree(tree, files, {}, images);
    tree.thaw();
    const auto core = images.read_one<img::core_entry>(image_file::core(static_cast<uint32_t>(pid)));
    CHECK(core.tc().sigactions_size() == 62);
  }
  CHECK(state_of(pid) == before);
  const long done = least_rounds();
  while (least_rounds() < done + 3 && !deadline.passed()) ::sched_yield();
  CHECK_FALSE(deadline.passed());
  CHECK(shared->interrupted == 0);
  CHECK(shared->early == 0);
  CHECK(shared->wrong == 0);
  ::kill(pid, SIGKILL);
  ::waitpid(pid, nullptr, 0);
  ::munmap(shared, sizeof(SharedPage));
}
