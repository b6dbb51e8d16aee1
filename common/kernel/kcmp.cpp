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

bool is_epoll_target(TaskFd file, TaskFd set, uint32_t target, uint32_t toff) {
  kcmp_epoll_slot slot{};
  slot.efd = static_cast<__u32>(set.fd);
  slot.tfd = target;
  slot.toff = toff;
  return raw_kcmp(file.pid, set.pid, KCMP_EPOLL_TFD, static_cast<unsigned long>(file.fd),
                  reinterpret_cast<unsigned long>(&slot)) == 0;
}

bool share(Shared what, pid_t a, pid_t b) {
  const auto same = [&](int type) { return ::syscall(SYS_kcmp, a, b, type, 0, 0) == 0; };
  switch (what) {
    case Shared::memory: return same(KCMP_VM);
    case Shared::descriptors: return same(KCMP_FILES);
    case Shared::filesystem: return same(KCMP_FS);
    case Shared::signal_handlers: return same(KCMP_SIGHAND);
  }
  return false;
}

}  // namespace crx
