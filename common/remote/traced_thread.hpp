// One thread under ptrace: it is seized, stopped, read, changed and detached.
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

// The result of PTRACE_GET_RSEQ_CONFIGURATION (Linux 5.13); pointer 0: not registered.
struct RseqConfiguration {
  uint64_t rseq_abi_pointer;
  uint32_t rseq_abi_size;
  uint32_t signature;
  uint32_t flags;
  uint32_t pad;
};

// The result of PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG (Linux 6.4); mode 0: off.
struct SyscallUserDispatch {
  uint64_t mode;
  uint64_t selector;
  uint64_t offset;
  uint64_t len;
};

// All calls must come from the thread of crx that seized it, since ptrace belongs to a thread. The destructor detaches,
// best effort; the thread then continues with the registers that it has. Every call throws Error(victim_gone) when the
// thread has exited, Error(kernel) for other failures. See ptrace(2).
class TracedThread {
 public:
  enum class Kind {
    victim,  // continues to run when the agent dies
    vessel,  // is killed when the agent dies (PTRACE_O_EXITKILL)
  };

  // PTRACE_SEIZE; the thread keeps running. nullopt if the thread does not exist (any more). Throws Error(refused) if
  // another process traces it or tracing it is not permitted. suspend_seccomp: its seccomp filters do not apply while
  // it is traced (PTRACE_O_SUSPEND_SECCOMP).
  static std::optional<TracedThread> try_seize(pid_t tid, Kind kind, bool suspend_seccomp);
  // Takes over a thread that one of our traced threads created with CLONE_PTRACE. It is traced already; this waits for
  // its initial stop and returns with the thread stopped.
  static TracedThread adopt(pid_t tid, Kind kind, Deadline deadline);

  TracedThread(TracedThread&& other) noexcept;
  TracedThread& operator=(TracedThread&& other) noexcept;
  ~TracedThread();

  pid_t tid() const noexcept { return tid_; }

  // PTRACE_INTERRUPT without waiting, so that many threads can be stopped at the same time.
  void interrupt();
  // Waits until the thread has stopped by interrupt(). A signal that arrives before is delivered first (the thread then
  // stops before the first instruction of the handler); events of ptrace options are ignored. False when the deadline
  // passed: the thread is still not stopped (a vfork parent, or D state).
  [[nodiscard]] bool wait_stopped(Deadline deadline);
  bool stopped() const noexcept { return stopped_; }
  // Whether the thread is in a group-stop: job control had stopped the process before we came.
  bool in_group_stop() const noexcept { return group_stop_ != 0; }
  // The signal of that group-stop; 0 for none.
  int group_stop_signal() const noexcept { return group_stop_; }

  // Registers, extended state and signal mask of the stopped thread, read and written.
  user_regs_struct regs() const;
  void set_regs(const user_regs_struct& regs);
  // NT_X86_XSTATE; its size is that of this CPU's xsave area.
  std::vector<std::byte> xstate() const;
  void set_xstate(std::span<const std::byte> bytes);
  uint64_t blocked_signals() const;
  void set_blocked_signals(uint64_t mask);
  // The pending signals, which remain queued. shared: those of the process, else those of the thread
  // (PTRACE_PEEKSIGINFO).
  std::vector<siginfo_t> pending_signals(bool shared) const;
  RseqConfiguration rseq() const;
  SyscallUserDispatch user_dispatch() const;
  void set_user_dispatch(const SyscallUserDispatch& config);
  // The classic BPF program of filter `index` (0 is the newest); nullopt beyond the last. Needs CAP_SYS_ADMIN.
  std::optional<std::vector<std::byte>> seccomp_filter(unsigned index) const;
  std::optional<uint64_t> seccomp_filter_flags(unsigned index) const;

  // PTRACE_CONT without a signal; the thread must be stopped.
  void resume();
  // Executes the one `syscall` instruction at rip and stops behind it, by PTRACE_SYSCALL stops (a single step would
  // force a SIGTRAP). The thread must be stopped, with the registers of the call set.
  void step_over_syscall();
  // The same in halves, so that many threads can make calls at the same time: begin_step() lets the thread run to the
  // entry of the system call or, the second time, to its exit; await_step() waits for that stop.
  void begin_step();
  void await_step();
  // The same for a call that sleeps: begin_syscall() returns when the thread has entered the kernel; syscall_over()
  // says, without waiting, whether the thread is stopped behind the call. An interrupt() in between ends the sleep.
  void begin_syscall();
  bool syscall_over();
  // After syscall_over(): changes from the stop behind the call to a stop of the kind that interrupt() makes, without
  // executing an instruction in user mode. (The stop behind a call consumes a pending interrupt, and by itself restarts
  // nothing.)
  void settle();
  // Lets the (only) thread of a process run until it has ended, delivers its signals, and then forgets it. The process
  // remains a zombie of its parent.
  void run_to_end();
  // Sets or clears PTRACE_O_EXITKILL and the option that suspends seccomp.
  void set_options(Kind kind, bool suspend_seccomp);
  // PTRACE_DETACH; the thread must be stopped. The thread continues to run, or remains in its group-stop.
  void detach();
  // Forgets the thread without a system call, because it has exited.
  void forget() noexcept { tid_ = 0; }

 private:
  explicit TracedThread(pid_t tid) noexcept : tid_(tid) {}
  void get_regset(int type, void* data, std::size_t& bytes, const char* what) const;

  pid_t tid_ = 0;
  bool stopped_ = false;
  int group_stop_ = 0;
};

}  // namespace crx
