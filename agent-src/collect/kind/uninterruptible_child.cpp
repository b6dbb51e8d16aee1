#include "agent-src/collect/kind/uninterruptible_child.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "common/base/error.hpp"

namespace crx {

int run_uninterruptible_child(int (*work)(void*), void* argument) {
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, &before);
  const pid_t child = ::fork();
  if (child == 0) {
    ::setsid();
    ::_exit(work(argument));
  }
  const int err = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (child < 0) throw_errno("copying a queue", "fork", err);
  int status = 0;
  while (::waitpid(child, &status, __WALL) < 0) {
    if (errno != EINTR) throw_errno("copying a queue", "waitpid");
  }
  if (!WIFEXITED(status)) throw Error(ErrorCode::kernel, "copying a queue", "the process that does it was killed");
  return WEXITSTATUS(status);
}

}  // namespace crx
