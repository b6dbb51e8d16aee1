#include "common/remote/wait_status.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

namespace crx {

std::string WaitStatus::text() const {
  if (WIFEXITED(status_)) return fmt::format("exited with status {}", WEXITSTATUS(status_));
  if (WIFSIGNALED(status_)) return fmt::format("killed by signal {}", WTERMSIG(status_));
  if (WIFSTOPPED(status_)) return fmt::format("stopped by signal {} event {}", signal() & 0x7f, event());
  return fmt::format("status {:#x}", status_);
}

bool reap_killed(pid_t tid, Deadline deadline) {
  const int how = deadline.poll_ms() < 0 ? __WALL : __WALL | WNOHANG;
  for (;;) {
    int status = 0;
    const pid_t got = ::waitpid(tid, &status, how);
    if (got < 0 && errno != EINTR) return true;
    if (got == tid && !WIFSTOPPED(status)) return true;
    if (deadline.passed()) return false;
    if (got == 0) ::usleep(50);  // waitpid has no timeout
  }
}

}  // namespace crx
