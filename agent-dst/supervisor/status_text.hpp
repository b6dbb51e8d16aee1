// Describes the end of a child process for logs and messages.
#pragma once

#include <fmt/format.h>
#include <sys/wait.h>

#include <string>

namespace crx::supervisor {

// status: as from waitpid(2).
inline std::string status_text(int status) {
  return WIFSIGNALED(status) ? fmt::format("killed by signal {}", WTERMSIG(status))
                             : fmt::format("exit status {}", WEXITSTATUS(status));
}

}  // namespace crx::supervisor
