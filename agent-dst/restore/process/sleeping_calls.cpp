#include "agent-dst/restore/process/sleeping_calls.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <string>

#include "common/base/backoff.hpp"
#include "common/base/clock.hpp"
#include "common/base/error.hpp"
#include "common/base/fd.hpp"
#include "common/base/log.hpp"
#include "common/kernel/process/restart_codes.hpp"
#include "common/proc/stat.hpp"
#include "common/remote/syscall_instruction.hpp"

namespace crx {
namespace {

constexpr int64_t kNsPerSecond = 1'000'000'000;
constexpr int64_t kNsPerMs = 1'000'000;
constexpr int64_t kAsleepMs = 5000;
constexpr uint64_t kBelowStack = 512;

// Borrows some bytes of the task's memory for a call; the destructor restores them. No thread runs meanwhile.
class BorrowedMemory {
 public:
  BorrowedMemory(pid_t pid, uint64_t addr, const timespec& value) : pid_(pid), addr_(addr) {
    borrowed_ = copy(true, before_) && copy(false, value);
  }
  BorrowedMemory(BorrowedMemory&& other) noexcept
      : pid_(other.pid_),
        addr_(other.addr_),
        before_(other.before_),
        borrowed_(std::exchange(other.borrowed_, false)) {}
  ~BorrowedMemory() {
    if (borrowed_) copy(false, before_);
  }
  bool borrowed() const noexcept { return borrowed_; }
  // Returns what the call has stored there.
  timespec now_there() const {
    timespec value{};
    static_cast<void>(copy(true, value));
    return value;
  }

 private:
  template <typename T>
  bool copy(bool read, T& bytes) const {
    iovec local{const_cast<timespec*>(&bytes), sizeof bytes};
    iovec remote{reinterpret_cast<void*>(addr_), sizeof bytes};
    const ssize_t got =
        read ? ::process_vm_readv(pid_, &local, 1, &remote, 1, 0) : ::process_vm_writev(pid_, &local, 1, &remote, 1, 0);
    return got == static_cast<ssize_t>(sizeof bytes);
  }

  pid_t pid_;
  uint64_t addr_;
  timespec before_{};
  bool borrowed_ = false;
};

struct Sleeper {
  std::size_t thread;
  std::vector<BorrowedMemory> borrowed;
};

// Returns the time left in ns until the deadline that the source has sent, on the clock as the task sees it here; never
// more than was left when it was stopped.
int64_t left_ns(const img::crx_restart& restart, int64_t task_now_ns) {
  const int64_t left = std::min(restart.remaining_ns(), restart.deadline_ns() - task_now_ns);
  return std::max<int64_t>(left, 0);
}

// Returns CLOCK_MONOTONIC as the task sees it, in ns; the task itself is asked, since its time namespace is not ours.
int64_t clock_of(TracedThread& thread, pid_t pid, uint64_t instruction) {
  const uint64_t room = (thread.regs().rsp - kBelowStack) & ~uint64_t{15};
  const BorrowedMemory memory(pid, room, timespec{});
  if (!memory.borrowed() || call_at(thread, instruction, SYS_clock_gettime, {CLOCK_MONOTONIC, room}) != 0) return 0;
  const timespec now = memory.now_there();
  return int64_t{now.tv_sec} * kNsPerSecond + now.tv_nsec;
}

bool is_asleep(pid_t pid, pid_t tid) {
  return proc::parse_stat(read_file(fmt::format("/proc/{}/task/{}/stat", pid, tid))).state == 'S';
}

// Sets the registers of the call; returns false if it cannot be made.
bool prepare_call(Vessel& vessel, const img::crx_restart& restart, uint64_t at, int64_t left, user_regs_struct& regs,
                  Sleeper& sleeper) {
  regs.rip = at;
  regs.orig_rax = kNoSyscall;
  const auto argument = [&](int i) { return i < restart.args_size() ? restart.args(i) : 0; };
  const uint64_t room = (regs.rsp - kBelowStack) & ~uint64_t{15};
  const timespec time{left / kNsPerSecond, left % kNsPerSecond};
  switch (restart.nr()) {
    case SYS_nanosleep:
    case SYS_clock_nanosleep:
      regs.rax = SYS_clock_nanosleep;
      regs.rdi = restart.nr() == SYS_nanosleep ? CLOCK_MONOTONIC : argument(0);
      regs.rsi = 0;
      regs.rdx = room;
      regs.r10 = restart.remainder_addr();
      break;
    case SYS_futex:
      regs.rax = SYS_futex;
      regs.rdi = argument(0);
      regs.rsi = argument(1);
      regs.rdx = argument(2);
      regs.r10 = room;
      break;
    case SYS_poll:
      regs.rax = SYS_poll;
      regs.rdi = argument(0);
      regs.rsi = argument(1);
      regs.rdx = static_cast<uint64_t>((left + kNsPerMs - 1) / kNsPerMs);
      return true;
    default:
      return false;
  }
  sleeper.borrowed.emplace_back(vessel.pid(), room, time);
  return sleeper.borrowed.back().borrowed();
}

void wait_asleep(Vessel& vessel, const Sleeper& sleeper, pid_t tid) {
  TracedThread& thread = vessel.process().traced(sleeper.thread);
  const Deadline deadline = Deadline::in_ms(kAsleepMs);
  for (Backoff backoff; !thread.syscall_over(); backoff.wait()) {
    if (is_asleep(vessel.pid(), tid)) {
      thread.interrupt();
      return;
    }
    if (deadline.passed()) {
      throw Error(ErrorCode::kernel, "going on with sleeps", fmt::format("thread {} does not fall asleep", tid));
    }
  }
}

}  // namespace

std::vector<SleepOutcome> begin_sleeps(Vessel& vessel, const img::crx_task_entry& extra) {
  std::vector<SleepOutcome> outcomes(static_cast<std::size_t>(extra.threads_size()));
  std::vector<Sleeper> sleepers;
  uint64_t instruction = 0;
  int64_t began_ns = 0, task_now_ns = 0;
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    const img::crx_thread_entry& thread = extra.threads(static_cast<int>(i));
    if (!thread.has_restart() || static_cast<int64_t>(thread.restart().ax()) != kRestartBlock) continue;
    if (!thread.restart().has_deadline_ns()) continue;
    user_regs_struct regs = vessel.process().traced(i).regs();
    if (instruction == 0) {
      instruction = syscall_instruction(vessel.pid());
      task_now_ns = clock_of(vessel.process().traced(i), vessel.pid(), instruction);
      began_ns = monotonic_ns();  // measured after the reading, so that a sleep ends a little late and never early
    }
    Sleeper sleeper{i, {}};
    const int64_t left = left_ns(thread.restart(), task_now_ns + monotonic_ns() - began_ns);
    if (!prepare_call(vessel, thread.restart(), instruction, left, regs, sleeper)) {
      log::warn("thread {}: the remaining time of its sleep is unknown", thread.tid());
      continue;
    }
    vessel.process().traced(i).set_regs(regs);
    vessel.process().traced(i).begin_syscall();
    sleepers.push_back(std::move(sleeper));
  }
  for (const Sleeper& sleeper : sleepers) {
    wait_asleep(vessel, sleeper, static_cast<pid_t>(extra.threads(static_cast<int>(sleeper.thread)).tid()));
  }
  for (const Sleeper& sleeper : sleepers) {
    TracedThread& thread = vessel.process().traced(sleeper.thread);
    for (Backoff backoff; !thread.syscall_over();) backoff.wait();
    user_regs_struct regs = thread.regs();
    SleepOutcome& outcome = outcomes[sleeper.thread];
    outcome.slept = true;
    outcome.ax = regs.rax;
    const bool over = static_cast<int64_t>(regs.rax) != kRestartBlock;
    outcome.orig_ax = over ? kNoSyscall : regs.orig_rax;
    thread.settle();
  }
  return outcomes;
}

}  // namespace crx
