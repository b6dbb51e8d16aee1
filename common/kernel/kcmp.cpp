#include "common/kernel/kcmp.hpp"

#include <linux/kcmp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "common/base/error.hpp"

namespace crx {
namespace {

// 0 equal, 1 less, 2 greater, 3 different but without order; -errno.
long raw_kcmp(pid_t a, pid_t b, int type, unsigned long x, unsigned long y) {
  const long result = ::syscall(SYS_kcmp, a, b, type, x, y);
  if (result >= 0) return result;
  if (errno == ENOSYS || errno == EOPNOTSUPP) {
    throw Error(ErrorCode::unsupported, "comparing descriptors", "this kernel has no kcmp (CONFIG_KCMP)", errno);
  }
  if (errno == EPERM || errno == EACCES) throw_errno("comparing descriptors", "process " + std::to_string(a));
  return -errno;
}

}  // namespace

FileOrder compare_files(TaskFd a, TaskFd b) {
  const long result =
      raw_kcmp(a.pid, b.pid, KCMP_FILE, static_cast<unsigned long>(a.fd), static_cast<unsigned long>(b.fd));
  switch (result) {
    case 0: return FileOrder::equal;
    case 1: return FileOrder::less;
    case 2: return FileOrder::greater;
    default: return FileOrder::gone;
  }
}

bool is_epoll_target(pid_t pid, int fd, int epoll_fd, uint32_t target, uint32_t toff) {
  kcmp_epoll_slot slot{};
  slot.efd = static_cast<__u32>(epoll_fd);
  slot.tfd = target;
  slot.toff = toff;
  return raw_kcmp(pid, pid, KCMP_EPOLL_TFD, static_cast<unsigned long>(fd), reinterpret_cast<unsigned long>(&slot)) == 0;
}

bool share_descriptor_table(pid_t a, pid_t b) { return raw_kcmp(a, b, KCMP_FILES, 0, 0) == 0; }

}  // namespace crx
