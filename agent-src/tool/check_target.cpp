#include "agent-src/tool/check_target.hpp"

#include <fmt/format.h>
#include <signal.h>

#include <cerrno>

#include "common/base/error.hpp"
#include "common/kernel/process/privileges.hpp"

namespace crx {

void check_target(pid_t pid, const char* tool) {
  if (!may_trace(pid)) {
    throw Error(ErrorCode::refused, "looking at the process", "it is of another user, and CAP_SYS_PTRACE is missing")
        .with_pid(pid)
        .with_hint(fmt::format("run {} as root, for example by sudo", tool));
  }
  if (::kill(pid, 0) != 0 && errno == ESRCH) {
    throw Error(ErrorCode::victim_gone, "finding the process", "there is none")
        .with_pid(pid)
        .with_hint("see ps -e for the processes that exist");
  }
}

}  // namespace crx
