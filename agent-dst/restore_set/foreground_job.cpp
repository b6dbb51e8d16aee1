#include "agent-dst/restore_set/foreground_job.hpp"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <string>

#include "common/base/error.hpp"
#include "common/base/fd.hpp"

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
    int status = 0;
    if (::waitpid(pid, &status, __WALL | WUNTRACED) < 0) {
      if (errno == EINTR) continue;
      throw_errno("waiting", "process " + std::to_string(pid));
    }
    hand_over(group, ::getpgrp());
    if (!WIFSTOPPED(status)) return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    ::raise(SIGSTOP);
    // The shell has continued us, in the foreground or the background.
    hand_over(::getpgrp(), group);
    ::kill(group > 0 ? -group : pid, SIGCONT);
  }
}

}  // namespace crx
