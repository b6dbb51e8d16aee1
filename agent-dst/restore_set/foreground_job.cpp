#include "agent-dst/restore_set/foreground_job.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <csignal>

#include "common/base/fd.hpp"
#include "common/kernel/process/child_process.hpp"

namespace crx {
namespace {

// Makes `to` the foreground process group if `from` is. A process in the background would be stopped for this
// (SIGTTOU), so that signal is blocked meanwhile.
void hand_over(pid_t from, pid_t to) {
  const Fd terminal = try_open("/dev/tty", O_RDWR);
  if (!terminal || from == to || ::tcgetpgrp(terminal.get()) != from) return;
  sigset_t out, before;
  ::sigemptyset(&out);
  ::sigaddset(&out, SIGTTOU);
  ::pthread_sigmask(SIG_BLOCK, &out, &before);
  static_cast<void>(::tcsetpgrp(terminal.get(), to));
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

}  // namespace

void give_terminal(pid_t pid) noexcept {
  const pid_t group = ::getpgid(pid);
  if (group <= 0) return;
  hand_over(::getpgrp(), group);
  if (group != ::getpgrp()) ::kill(-group, SIGWINCH);
}

int await_job(pid_t pid) {
  const pid_t group = ::getpgid(pid);
  for (;;) {
    const ChildStatus status = wait_child_or_stop(pid);
    hand_over(group, ::getpgrp());
    if (!status.stopped()) return status.shell_code();
    ::raise(SIGSTOP);
    // The shell has continued us, in the foreground or the background.
    hand_over(::getpgrp(), group);
    ::kill(group > 0 ? -group : pid, SIGCONT);
  }
}

}  // namespace crx
