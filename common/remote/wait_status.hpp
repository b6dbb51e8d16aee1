// A typed view of the status that waitpid(2) returns for a traced thread.
#pragma once

#include <sys/ptrace.h>
#include <sys/wait.h>

#include <string>
#include "common/base/clock.hpp"

namespace crx {

class WaitStatus {
 public:
  explicit WaitStatus(int status) noexcept : status_(status) {}
  bool exited() const noexcept { return WIFEXITED(status_) || WIFSIGNALED(status_); }
  bool stopped() const noexcept { return WIFSTOPPED(status_); }
  int signal() const noexcept { return WSTOPSIG(status_); }
  // PTRACE_EVENT_* of a stopped thread; 0 for a signal-delivery or system-call stop.
  int event() const noexcept { return stopped() ? (status_ >> 16) & 0xff : 0; }
  // The stop after PTRACE_INTERRUPT, a group-stop, or the initial stop of an attached child (seized threads).
  bool event_stop() const noexcept { return event() == PTRACE_EVENT_STOP; }
  // True when the process is stopped by job control (SIGSTOP and the like), not by our request.
  bool group_stop() const noexcept {
    return event_stop() && (signal() == SIGSTOP || signal() == SIGTSTP || signal() == SIGTTIN || signal() == SIGTTOU);
  }
  bool syscall_stop() const noexcept { return stopped() && signal() == (SIGTRAP | 0x80); }
  // A signal is about to be delivered; the tracer decides whether it is.
  bool signal_delivery() const noexcept { return stopped() && event() == 0 && !syscall_stop(); }
  int raw() const noexcept { return status_; }
  // A description for the log.
  std::string text() const;

 private:
  int status_;
};

// Waits for the end of a thread that the calling thread traces and that has been killed, and reaps the tracer's part of
// it, so that its parent sees it end. Returns false if the deadline passed; true, too, for a thread that is gone.
[[nodiscard]] bool reap_killed(pid_t tid, Deadline deadline);

}  // namespace crx
