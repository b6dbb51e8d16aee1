// The one typed door to what waitpid(2) says about a traced thread.
#pragma once

#include <sys/ptrace.h>
#include <sys/wait.h>

#include <string>

namespace crx {

class WaitStatus {
 public:
  explicit WaitStatus(int status) noexcept : status_(status) {}
  bool exited() const noexcept { return WIFEXITED(status_) || WIFSIGNALED(status_); }
  bool stopped() const noexcept { return WIFSTOPPED(status_); }
  int signal() const noexcept { return WSTOPSIG(status_); }
  // PTRACE_EVENT_* of a stopped thread, 0 for a signal-delivery or system-call stop.
  int event() const noexcept { return stopped() ? (status_ >> 16) & 0xff : 0; }
  // PTRACE_INTERRUPT, group-stop or the initial stop of an attached child (seized threads).
  bool event_stop() const noexcept { return event() == PTRACE_EVENT_STOP; }
  // Stopped because its process group-stopped (SIGSTOP and friends), not because we asked.
  bool group_stop() const noexcept {
    return event_stop() && (signal() == SIGSTOP || signal() == SIGTSTP || signal() == SIGTTIN || signal() == SIGTTOU);
  }
  bool syscall_stop() const noexcept { return stopped() && signal() == (SIGTRAP | 0x80); }
  // A signal is about to be delivered; the tracer decides.
  bool signal_delivery() const noexcept { return stopped() && event() == 0 && !syscall_stop(); }
  int raw() const noexcept { return status_; }
  std::string text() const;

 private:
  int status_;
};

}  // namespace crx
