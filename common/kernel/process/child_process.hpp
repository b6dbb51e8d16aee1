// Children of this process: the only code that calls fork(2) and waits for children that are not traced (waitpid(2)).
// Waits for traced threads are in common/remote.
#pragma once

#include <sys/types.h>

#include <csignal>
#include <functional>
#include <optional>
#include <utility>

#include "common/base/clock.hpp"

namespace crx {

// How a child ended, or that it is stopped: the status of waitpid(2).
class ChildStatus {
 public:
  explicit ChildStatus(int raw) noexcept : raw_(raw) {}
  bool exited() const noexcept;
  bool killed() const noexcept;
  bool stopped() const noexcept;  // only from wait_child_or_stop()
  bool succeeded() const noexcept { return raw_ == 0; }
  // The exit code; meaningful only if exited().
  int code() const noexcept;
  // The signal that killed or stopped the child; meaningful only if killed() or stopped().
  int signal() const noexcept;
  // As a shell tells it: the exit code, or 128 and the signal.
  int shell_code() const noexcept { return exited() ? code() : 128 + signal(); }
  int raw() const noexcept { return raw_; }

 private:
  int raw_;
};

struct ForkOptions {
  // The child's PID (set_tid of clone3(2)); 0: the kernel chooses. EEXIST where it is taken, EPERM without
  // CAP_CHECKPOINT_RESTORE.
  pid_t wanted_pid = 0;
  // CLONE_FILES: the child uses our descriptor table.
  bool shares_descriptors = false;
  // PR_SET_PDEATHSIG: what the child is sent when the thread that forked it ends; 0: nothing. The child ends at once
  // where that thread's process is gone already. Not for the first process of a PID namespace.
  int parent_death_signal = 0;
};

// Owns a child: the destructor kills it (SIGKILL) and reaps it, unless it has been waited for or released. Move-only;
// one thread at a time.
class ChildProcess {
 public:
  ChildProcess() noexcept = default;
  ChildProcess(ChildProcess&& other) noexcept : pid_(std::exchange(other.pid_, 0)) {}
  ChildProcess& operator=(ChildProcess&& other) noexcept;
  ~ChildProcess();

  // Forks. The child calls body() and ends with its result as the exit code (_exit(2): no destructors, and what stdio
  // has buffered is the parent's). Where body() throws, the child logs the error and exits with 1. In a process with
  // several threads body() may only make system calls: no allocation, no locks, no exceptions; the same with wanted_pid
  // and shares_descriptors, where the C library is not told of the fork. Throws Error(kernel); `step` says for what.
  static ChildProcess fork(const char* step, const std::function<int()>& body, const ForkOptions& options = {});
  // The same; nothing where the kernel has refused: errno says why.
  static std::optional<ChildProcess> try_fork(const std::function<int()>& body, const ForkOptions& options = {});
  // A child that does nothing until it is killed.
  static std::optional<ChildProcess> try_fork_idle(const ForkOptions& options = {});
  // Takes over a child that was made otherwise (posix_spawn(3)).
  static ChildProcess adopt(pid_t pid) noexcept { return ChildProcess(pid); }

  // 0 when there is none (any more).
  pid_t pid() const noexcept { return pid_; }
  explicit operator bool() const noexcept { return pid_ != 0; }

  // Waits until it has ended, and reaps it. Throws Error(kernel) where it is no child of ours any more.
  ChildStatus wait();
  // The same; nothing when the deadline has passed: it goes on, and stays ours.
  [[nodiscard]] std::optional<ChildStatus> wait_until(Deadline deadline);
  // Waits for its end, however it ends: for destructors.
  void join() noexcept;
  // Sends it a signal; its number is not another's before it has been reaped.
  void kill(int signal) const noexcept;
  // Its number; somebody else waits for it from here on, or nobody.
  pid_t release() noexcept { return std::exchange(pid_, 0); }

 private:
  explicit ChildProcess(pid_t pid) noexcept : pid_(pid) {}
  pid_t pid_ = 0;
};

// For processes whose children are not all made by ChildProcess (CLONE_PARENT), or are not to end with an object.

// Waits until the child `pid` has ended, and reaps it. Throws Error(kernel) where it is no child of ours.
ChildStatus wait_child(pid_t pid);
// The same, but returns when it is stopped by job control, too.
ChildStatus wait_child_or_stop(pid_t pid);
// Reaps a child that has ended, whichever. Its PID; 0 where none has ended yet; -1 where there is no child (left).
pid_t try_reap_any(int& status);
// Waits until all children have ended, and reaps them.
void wait_all_children() noexcept;

}  // namespace crx
