#include "common/remote/wait_status.hpp"

#include <fmt/format.h>

#include <csignal>

namespace crx {

std::string WaitStatus::text() const {
  if (WIFEXITED(status_)) return fmt::format("exited with status {}", WEXITSTATUS(status_));
  if (WIFSIGNALED(status_)) return fmt::format("killed by signal {}", WTERMSIG(status_));
  if (WIFSTOPPED(status_)) return fmt::format("stopped by signal {} event {}", signal() & 0x7f, event());
  return fmt::format("status {:#x}", status_);
}

}  // namespace crx
