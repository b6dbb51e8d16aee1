#include "agent-src/collect/kind/uninterruptible_child.hpp"

#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <optional>

#include "common/base/error.hpp"
#include "common/kernel/process/child_process.hpp"

namespace crx {

int run_uninterruptible_child(int (*work)(void*), void* argument) {
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, &before);
  std::optional<ChildProcess> child = ChildProcess::try_fork([work, argument] {
    ::setsid();
    return work(argument);
  });
  const int err = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (!child) throw_errno("copying a queue", "fork", err);
  const ChildStatus status = child->wait();
  if (!status.exited()) throw Error(ErrorCode::kernel, "copying a queue", "the process that does it was killed");
  return status.code();
}

}  // namespace crx
