// A process while it is stopped: all its threads are under ptrace and can make system calls for us.
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
class KernelView;

struct FrozenThread {
  TracedThread traced;
  user_regs_struct regs{};  // the registers for the image: as stopped, moved out of a restartable sequence
  uint64_t sigmask = 0;
  RseqConfiguration rseq{};
  std::unique_ptr<RemoteThread> remote;   // only while the arena is injected
  std::optional<InterruptedSleep> sleep;  // the thread was in a sleep whose remaining time is not in its registers
  std::optional<SystemCall> again;        // the thread will make this call again: regs are those before the call

  pid_t tid() const noexcept { return traced.tid(); }
};

// Whether the process has seccomp filters (or strict mode). Throws Error(victim_gone).
bool has_seccomp(pid_t pid);

// Owns the stop. The destructor releases the process: threads leave the stub, the arena is unmapped, all threads are
// detached and run on from where they were. Single-threaded: every call must come from the thread that stopped the
// process (ptrace). Any call may throw Error(victim_gone).
class FrozenTask {
 public:
  // Seizes and stops every thread, also those created meanwhile. Throws Error(refused) that names the thread and its
  // state if the deadline passes; everything runs again then. suspend_seccomp: the victim has filters. System calls
  // that the stop makes return -EINTR are rewound; `calls` has looked at the process before, or does so now.
  static FrozenTask freeze(pid_t pid, Deadline deadline, bool suspend_seccomp, InterruptedCalls& calls);
  // Stops the leader only; the other threads run on, and threads() does not list them.
  static FrozenTask freeze_leader(pid_t pid, Deadline deadline, bool suspend_seccomp, KernelView& kernel);
  FrozenTask(FrozenTask&&) noexcept = default;
  FrozenTask& operator=(FrozenTask&&) = delete;
  ~FrozenTask();

  pid_t pid() const noexcept { return pid_; }
  int pidfd() const noexcept { return pidfd_.get(); }
  // The time at which the first thread was asked to stop (monotonic_us).
  int64_t stopped_since_us() const noexcept { return stopped_since_us_; }
  // Returns "/proc/PID/".
  const std::string& proc() const noexcept { return proc_; }
  // threads()[0] is the leader.
  std::vector<FrozenThread>& threads() noexcept { return threads_; }
  const std::vector<FrozenThread>& threads() const noexcept { return threads_; }
  FrozenThread& leader() noexcept { return threads_.front(); }

  // Maps the arena in the victim, with space for every thread and for tables and arguments. Does nothing if it is
  // mapped already.
  void inject(const CallSite& site);
  // The same for many tasks at once; `sites` in the order of the tasks.
  static void inject_all(const std::vector<FrozenTask*>& tasks, const std::vector<CallSite>& sites);
  // Whether job control had stopped the process before; it stays stopped when it is released.
  bool was_stopped() const noexcept { return stop_signal_ != 0; }
  // The signal that had stopped it.
  int stop_signal() const noexcept { return stop_signal_; }
  // Whether the VMA that starts here is part of the arena: it is ours and not part of the image.
  bool is_arena(uint64_t start) const noexcept;
  RemoteArena& arena() { return *arena_; }
  // Whether the task locks new mappings (mlockall(MCL_FUTURE)), as the pages of the new arena show.
  bool locks_future_mappings() const noexcept { return locks_future_; }
  // The program break as brk(2) returns it, set by the collector.
  uint64_t program_break() const noexcept { return program_break_; }
  void set_program_break(uint64_t addr) noexcept { program_break_ = addr; }
  // Returns the thread as a maker of system calls; needs inject().
  RemoteThread& remote(std::size_t index);
  // Makes one system call in the leader without an arena and returns the raw kernel result. Registers and mask are
  // unchanged afterwards, also if our process dies during the call (healing_frame.hpp).
  int64_t call(const CallSite& site, long nr, std::initializer_list<uint64_t> args);
  // Brings every thread to rest, in the stub or where it was stopped: the process does not change until the next remote
  // call or eject().
  void settle();
  // The same for many tasks at once.
  static void settle_all(const std::vector<FrozenTask*>& tasks);
  // Makes the threads leave the stub and unmaps the arena; registers and masks are then as they were.
  void eject();
  // The same for many tasks at once.
  static void eject_all(const std::vector<FrozenTask*>& tasks);
  // Calls eject(), then detaches all threads: they run on (or stay frozen by their cgroup). This is the checked way to
  // release the process.
  void thaw();

  // The size in bytes of the address space that inject() takes, until eject(), for a task with so many threads.
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
    std::optional<int64_t> result = {};  // nothing for a task that has ended
  };
  // Makes each call in its task's leader, with site_. When it returns, all calls have been made and their results are
  // stored, also if one of them failed; returns the first exception, or an empty pointer.
  [[nodiscard]] static std::exception_ptr call_together(std::vector<PlannedCall>& planned);
  std::size_t code_bytes() const;
  std::size_t arena_bytes() const { return arena_bytes(threads_.size()); }
  void open_arena();

  pid_t pid_;
  std::string proc_;
  Fd pidfd_;
  std::unique_ptr<RemoteArena> arena_;
  std::vector<FrozenThread> threads_;  // declared after arena_: threads leave the arena when they are destroyed
  int64_t stopped_since_us_ = 0;
  CallSite site_;
  uint64_t healing_addr_ = 0;  // address of the HealingFrame on the leader's stack
  bool locks_future_ = false;
  int stop_signal_ = 0;
  uint64_t program_break_ = 0;
  uint64_t code_addr_ = 0, data_addr_ = 0;  // data_addr_ lies right behind the code
};

}  // namespace crx
