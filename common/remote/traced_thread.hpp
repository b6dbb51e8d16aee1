// One thread under ptrace: seized, stopped, read, changed, given back.
#pragma once

#include <signal.h>
#include <sys/types.h>
#include <sys/user.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/base/clock.hpp"
#include "common/remote/wait_status.hpp"

namespace crx {

// What PTRACE_GET_RSEQ_CONFIGURATION (Linux 5.13) tells; pointer 0: not registered.
struct RseqConfiguration {
  uint64_t rseq_abi_pointer;
  uint32_t rseq_abi_size;
  uint32_t signature;
  uint32_t flags;
  uint32_t pad;
};

// What PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG (Linux 6.4) tells; mode 0: off.
struct SyscallUserDispatch {
  uint64_t mode;
  uint64_t selector;
  uint64_t offset;
  uint64_t len;
};

// All calls must come from the thread of ours that seized it (ptrace belongs to a thread). Destroying it detaches
// on a best-effort basis; the thread then runs on from the registers it has. Every call throws
// Error(victim_gone) when the thread has exited, Error(kernel) otherwise. See ptrace(2).
class TracedThread {
 public:
  enum class Kind {
    victim,  // runs on when we die
    vessel,  // is killed when we die (PTRACE_O_EXITKILL)
  };

  // PTRACE_SEIZE; the thread keeps running. Nothing if it does not exist (any more).
  // Throws Error(refused) if somebody else traces it or it may not be traced.
  static std::optional<TracedThread> try_seize(pid_t tid, Kind kind, bool suspend_seccomp);
  // A thread that was created with CLONE_PTRACE by one of our traced threads: it is traced already and its
  // initial stop is awaited here. The thread is stopped.
  static TracedThread adopt(pid_t tid, Kind kind, Deadline deadline);

  TracedThread(TracedThread&& other) noexcept;
  TracedThread& operator=(TracedThread&& other) noexcept;
  ~TracedThread();

  pid_t tid() const noexcept { return tid_; }

  // PTRACE_INTERRUPT without waiting, so that many threads can be stopped at once.
  void interrupt();
  // Waits until the thread has stopped for us. A signal that is being delivered meanwhile is delivered first (the
  // stop then comes before its handler's first instruction); events of options are passed over.
  // False when the deadline passed: the thread still runs (a vfork parent, D state).
  [[nodiscard]] bool wait_stopped(Deadline deadline);
  bool stopped() const noexcept { return stopped_; }
  // The stop it is in is a group-stop: the process was stopped by job control when we came.
  bool in_group_stop() const noexcept { return group_stop_ != 0; }
  // By which signal then; 0 for none.
  int group_stop_signal() const noexcept { return group_stop_; }

  user_regs_struct regs() const;
  void set_regs(const user_regs_struct& regs);
  // NT_X86_XSTATE, as large as this CPU's xsave area.
  std::vector<std::byte> xstate() const;
  void set_xstate(std::span<const std::byte> bytes);
  uint64_t blocked_signals() const;
  void set_blocked_signals(uint64_t mask);
  // Pending signals without dequeuing them; shared: of the process, else of the thread (PTRACE_PEEKSIGINFO).
  std::vector<siginfo_t> pending_signals(bool shared) const;
  RseqConfiguration rseq() const;
  SyscallUserDispatch user_dispatch() const;
  void set_user_dispatch(const SyscallUserDispatch& config);
  // Classic BPF of filter `index` (0: the newest); nothing past the last. Needs CAP_SYS_ADMIN.
  std::optional<std::vector<std::byte>> seccomp_filter(unsigned index) const;
  std::optional<uint64_t> seccomp_filter_flags(unsigned index) const;

  // PTRACE_CONT with no signal; the thread must be stopped.
  void resume();
  // Runs the one `syscall` instruction at rip and stops behind it, by PTRACE_SYSCALL stops (a single step would
  // force a SIGTRAP). The thread must be stopped, with the call's registers set.
  void step_over_syscall();
  // Half of it, so that many threads can make their calls at once: begin_step() lets the thread run into the kernel,
  // or, the second time, out of it; await_step() waits until it has stopped there.
  void begin_step();
  void await_step();
  // The same in two steps, for a call that sleeps: begin_syscall() returns when the thread has entered the kernel;
  // syscall_over() says, without waiting, whether it stands behind the call again (then it is stopped). An
  // interrupt() in between ends the sleep.
  void begin_syscall();
  bool syscall_over();
  // After syscall_over(): from behind the call to a stop of the kind interrupt() makes, without a step in user mode.
  // (A stop behind a call takes a pending interrupt with it, and restarts nothing by itself.)
  void settle();
  // Lets the (only) thread of a process run, delivering what signals it gets, until it has ended; forgets it then. It
  // stays a zombie of its parent's.
  void run_to_end();
  // Adds or clears PTRACE_O_EXITKILL etc.
  void set_options(Kind kind, bool suspend_seccomp);
  // PTRACE_DETACH; the thread must be stopped. The thread runs on, or stays in its group-stop.
  void detach();
  // Forgets it without a system call: it has exited.
  void forget() noexcept { tid_ = 0; }

 private:
  explicit TracedThread(pid_t tid) noexcept : tid_(tid) {}
  void get_regset(int type, void* data, std::size_t& bytes, const char* what) const;

  pid_t tid_ = 0;
  bool stopped_ = false;
  int group_stop_ = 0;
};

}  // namespace crx
