// A tracer is killed in the middle of a borrowed system call: the thread goes on as if it had never been stopped.
#include <doctest/doctest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstring>

#include "agent-src/freeze/call_site.hpp"
#include "agent-src/freeze/frozen_task.hpp"
#include "common/base/scope_exit.hpp"
#include "common/kernel/introspect/kernel_view.hpp"

using namespace crx;

namespace {

struct Shared {
  std::atomic<uint32_t> ready, go, in_call, turns;
  timespec nap;  // for the borrowed call
};

Shared* make_shared() {
  void* page = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(page != MAP_FAILED);
  return new (page) Shared{};
}

// Waits in user code with known values in all relevant registers; returns 0 if they are unchanged.
int spin_with_full_registers(Shared& shared) {
  alignas(32) uint8_t wide[32], wide_after[32];
  for (unsigned i = 0; i < sizeof wide; ++i) wide[i] = static_cast<uint8_t>(i * 7 + 1);
  uint64_t after[8] = {};
  asm volatile(
      "vmovdqa (%[wide]), %%ymm11\n"
      "mov $0x1111111111, %%r8\n mov $0x2222222222, %%r9\n mov $0x3333333333, %%r10\n mov $0x4444444444, %%r11\n"
      "mov $0x5555555555, %%r12\n mov $0x6666666666, %%r13\n mov $0x7777777777, %%rcx\n mov $0x8888888888, %%rax\n"
      "movl $1, (%[ready])\n"
      "1: cmpl $0, (%[go])\n"
      "je 1b\n"
      "vmovdqa %%ymm11, (%[wide_after])\n"
      "mov %%r8, 0(%[after])\n mov %%r9, 8(%[after])\n mov %%r10, 16(%[after])\n mov %%r11, 24(%[after])\n"
      "mov %%r12, 32(%[after])\n mov %%r13, 40(%[after])\n mov %%rcx, 48(%[after])\n mov %%rax, 56(%[after])\n"
      :
      : [wide] "r"(wide), [wide_after] "r"(wide_after), [after] "r"(after), [ready] "r"(&shared.ready),
        [go] "r"(&shared.go)
      : "r8", "r9", "r10", "r11", "r12", "r13", "rcx", "rax", "xmm11", "memory", "cc");
  for (uint64_t i = 0; i < 8; ++i) {
    if (after[i] != (i + 1) * 0x1111111111) return static_cast<int>(10 + i);
  }
  return std::memcmp(wide, wide_after, sizeof wide) == 0 ? 0 : 20;
}

// Sleeps in a system call that the stop interrupts.
int sleep_in_read(Shared& shared) {
  int ends[2];
  if (::pipe(ends) != 0) return 30;
  shared.ready = 1;
  if (::fork() == 0) {
    while (shared.go == 0) ::sched_yield();
    ::_exit(::write(ends[1], "x", 1) == 1 ? 0 : 1);
  }
  char byte = 0;
  return ::read(ends[0], &byte, 1) == 1 && byte == 'x' ? 0 : 31;
}

bool is_in_nanosleep(pid_t pid) {
  return read_file("/proc/" + std::to_string(pid) + "/syscall").starts_with(std::to_string(SYS_nanosleep) + " ");
}

// Kills the tracer while the victim sleeps in a borrowed call.
void kill_in_call(pid_t victim, Shared& shared) {
  shared.nap = {0, 200'000'000};
  const pid_t tracer = ::fork();
  if (tracer == 0) {
    CallSites sites;
    KernelView kernel;
    FrozenTask task = FrozenTask::freeze_leader(victim, Deadline::in_ms(10'000), false, kernel);
    task.call(sites.of(victim), SYS_nanosleep, {reinterpret_cast<uint64_t>(&shared.nap), 0});
    ::_exit(1);
  }
  while (!is_in_nanosleep(victim)) ::sched_yield();
  ::kill(tracer, SIGKILL);
  int status = 0;
  CHECK(::waitpid(tracer, &status, 0) == tracer);
  CHECK(WIFSIGNALED(status));
}

uint64_t blocked_signals(pid_t pid) {
  const std::string text = read_file("/proc/" + std::to_string(pid) + "/status");
  return std::stoull(text.substr(text.find("SigBlk:") + 7), nullptr, 16);
}

void check(int (*body)(Shared&)) {
  Shared& shared = *make_shared();
  const pid_t victim = ::fork();
  if (victim == 0) {
    sigset_t some;
    ::sigemptyset(&some);
    ::sigaddset(&some, SIGUSR2);
    ::sigprocmask(SIG_SETMASK, &some, nullptr);
    ::_exit(body(shared));
  }
  while (shared.ready == 0) ::sched_yield();
  for (int turn = 0; turn < 3; ++turn) {
    kill_in_call(victim, shared);
    const Deadline deadline = Deadline::in_ms(10'000);
    while (blocked_signals(victim) != uint64_t{1} << (SIGUSR2 - 1)) {
      int status = 0;
      REQUIRE_MESSAGE(::waitpid(victim, &status, WNOHANG) == 0, "died with status " << status);
      REQUIRE_MESSAGE(!deadline.passed(), "it has not found back to its signal mask");
      ::sched_yield();
    }
  }
  shared.go = 1;
  int status = 0;
  CHECK(::waitpid(victim, &status, 0) == victim);
  CHECK(status == 0);
  ::munmap(&shared, 4096);
}

}  // namespace

TEST_CASE("a tracer is killed during a borrowed call of a thread in user code") {
  check(spin_with_full_registers);
}

TEST_CASE("a tracer is killed during a borrowed call of a thread in a system call") {
  check(sleep_in_read);
}
