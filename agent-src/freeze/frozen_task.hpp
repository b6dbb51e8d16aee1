// The process being moved while it is stopped: all its threads under ptrace, able to make system calls for us.
#pragma once

#include <sys/types.h>

#include <array>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent-src/freeze/call_site.hpp"
#include "agent-src/freeze/timed_calls.hpp"
#include "common/base/clock.hpp"
#include "common/base/fd.hpp"
#include "common/kernel/process/pidfd.hpp"
#include "common/remote/arena.hpp"
#include "common/remote/remote_thread.hpp"
#include "common/remote/traced_thread.hpp"

namespace crx {

class InterruptedCalls;
class SleepReader;

struct FrozenThread {
  TracedThread traced;
  user_regs_struct regs{};  // as stopped (moved out of an rseq critical section), what the image holds
  uint64_t sigmask = 0;
  RseqConfiguration rseq{};
  std::unique_ptr<RemoteThread> remote;   // while the arena is injected
  std::optional<InterruptedSleep> sleep;  // it was in one, and its time is not among the registers
  std::optional<SystemCall> again;        // it will make this call once more: regs are those before it

  pid_t tid() const noexcept { return traced.tid(); }
};

// Whether a process has seccomp filters (or strict mode). Throws Error(victim_gone).
bool has_seccomp(pid_t pid);

// Owns the stop. Destroying it gives the process back: threads leave the stub, the arena goes, all detach and run
// on from where they were. Single-threaded; every call from the thread that froze it. Any call may throw
// Error(victim_gone).
class FrozenTask {
 public:
  // Seizes and stops every thread, also those created meanwhile; throws Error(refused) naming the thread and state
  // when the deadline passes (everything is running again then). suspend_seccomp: the victim has filters.
  // System calls that the stop made return -EINTR are rewound: `calls` has looked at the process before, or does so
  // now.
  static FrozenTask freeze(pid_t pid, Deadline deadline, bool suspend_seccomp, InterruptedCalls& calls);
  // Stops the leader only; the other threads run on and threads() does not list them.
  static FrozenTask freeze_leader(pid_t pid, Deadline deadline, bool suspend_seccomp, SleepReader& sleeps);
  FrozenTask(FrozenTask&&) noexcept = default;
  FrozenTask& operator=(FrozenTask&&) = delete;
  ~FrozenTask();

  pid_t pid() const noexcept { return pid_; }
  int pidfd() const noexcept { return pidfd_.get(); }
  // When the first thread was asked to stop (monotonic_us).
  int64_t stopped_since_us() const noexcept { return stopped_since_us_; }
  // "/proc/PID/"
  const std::string& proc() const noexcept { return proc_; }
  // threads()[0] is the leader.
  std::vector<FrozenThread>& threads() noexcept { return threads_; }
  const std::vector<FrozenThread>& threads() const noexcept { return threads_; }
  FrozenThread& leader() noexcept { return threads_.front(); }

  // Maps the arena in the victim, room for every thread and for tables and arguments. Idempotent.
  void inject(const CallSite& site);
  // The same of many, all at once; sites in their order.
  static void inject_all(const std::vector<FrozenTask*>& tasks, const std::vector<CallSite>& sites);
  // Job control had stopped it when it was frozen; it stays so when it is given back.
  bool was_stopped() const noexcept { return stop_signal_ != 0; }
  // By which signal.
  int stop_signal() const noexcept { return stop_signal_; }
  // Where the injected arena lies: these VMAs are ours and not part of the image.
  bool is_arena(uint64_t start) const noexcept;
  RemoteArena& arena() { return *arena_; }
  // Whether the task has new mappings locked (mlockall(MCL_FUTURE)), as seen from how the arena was born.
  bool locks_future_mappings() const noexcept { return locks_future_; }
  // brk(2) as the kernel has it, when it was collected.
  uint64_t program_break() const noexcept { return program_break_; }
  void set_program_break(uint64_t addr) noexcept { program_break_ = addr; }
  // The thread as a maker of system calls; needs inject().
  RemoteThread& remote(std::size_t index);
  // One system call of the leader without an arena; its registers and mask are as before afterwards, and would be if we
  // died meanwhile (healing_frame.hpp). The raw kernel result.
  int64_t call(const CallSite& site, long nr, std::initializer_list<uint64_t> args);
  // Every thread stands still, in the stub or where it was stopped: nothing of the process changes from here on until
  // the next remote call or eject().
  void settle();
  static void settle_all(const std::vector<FrozenTask*>& tasks);
  // Threads leave the stub; the arena is unmapped; registers and masks are as they were.
  void eject();
  static void eject_all(const std::vector<FrozenTask*>& tasks);
  // eject(), then detaches all: they run on (or stay frozen by their cgroup). The checked way back.
  void thaw();

  // Of the address space of a task with so many threads, from inject() to eject().
  static std::size_t arena_bytes(std::size_t threads);

 private:
  explicit FrozenTask(pid_t pid);
  void seize_new_threads(Deadline deadline, bool suspend_seccomp, InterruptedCalls& calls);
  bool seize(pid_t tid, bool suspend_seccomp, InterruptedCalls& calls);
  [[nodiscard]] bool await_stop(FrozenThread& thread, Deadline deadline) const;
  void read_threads();
  void prepare_healing(const CallSite& site);
  void go_back();
  struct PlannedCall {
    FrozenTask* task;
    long nr;
    std::array<uint64_t, 6> args;
    std::optional<int64_t> result = {};  // nothing of a task that has ended
  };
  // Each by its leader, with site_. All have been made afterwards, and the results are there whether one has failed or
  // not: what it threw comes back, empty for none.
  [[nodiscard]] static std::exception_ptr call_together(std::vector<PlannedCall>& planned);
  std::size_t code_bytes() const;
  std::size_t arena_bytes() const { return arena_bytes(threads_.size()); }
  void open_arena();

  pid_t pid_;
  std::string proc_;
  Fd pidfd_;
  std::unique_ptr<RemoteArena> arena_;
  std::vector<FrozenThread> threads_;  // they leave the arena when they go
  int64_t stopped_since_us_ = 0;
  CallSite site_;
  uint64_t healing_addr_ = 0;  // of a HealingFrame on the leader's stack
  bool locks_future_ = false;
  int stop_signal_ = 0;
  uint64_t program_break_ = 0;
  uint64_t code_addr_ = 0, data_addr_ = 0;  // the latter right behind the code
};

}  // namespace crx
