#include "common/kernel/process/pidfd.hpp"

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "common/base/error.hpp"

namespace crx {

Fd open_pidfd(pid_t pid) {
  const long fd = ::syscall(SYS_pidfd_open, pid, 0);
  if (fd < 0) throw_errno("opening a process", "process " + std::to_string(pid));
  return Fd(static_cast<int>(fd));
}

Fd try_get_fd(int pidfd, int fd) {
  return Fd(static_cast<int>(::syscall(SYS_pidfd_getfd, pidfd, fd, 0)));
}

void release_memory(int pidfd) noexcept {
  ::syscall(448 /* process_mrelease */, pidfd, 0);
}

bool send_signal(int pidfd, int signal) {
  if (::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0) == 0) return true;
  if (errno == ESRCH) return false;
  throw_errno("sending a signal", "signal " + std::to_string(signal));
}

bool wait_exit(int pidfd, Deadline deadline) {
  for (;;) {
    pollfd entry{pidfd, POLLIN, 0};
    const int ready = ::poll(&entry, 1, deadline.poll_ms());
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) throw_errno("waiting for a process", "its pidfd");
    if (deadline.passed()) return false;
  }
}

}  // namespace crx
