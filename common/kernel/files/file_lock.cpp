#include "common/kernel/files/file_lock.hpp"

#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

namespace crx {

struct flock lock_range(uint32_t type, int64_t start, int64_t len) {
  struct flock range {};
  range.l_type = static_cast<short>(type);
  range.l_whence = SEEK_SET;
  range.l_start = start;
  range.l_len = len;
  return range;
}

int flock_operation(uint32_t type) {
  return LOCK_NB | (type == F_UNLCK ? LOCK_UN : type == F_WRLCK ? LOCK_EX : LOCK_SH);
}

int set_description_lock(int fd, uint32_t kind, uint32_t type, int64_t start, int64_t len) {
  int result = -1;
  if (kind == lock_kind::kFlock) {
    result = ::flock(fd, flock_operation(type));
  } else if (kind == lock_kind::kOfd) {
    const struct flock range = lock_range(type, start, len);
    result = ::fcntl(fd, F_OFD_SETLK, &range);
  } else if (kind == lock_kind::kLease) {
    result = ::fcntl(fd, F_SETLEASE, static_cast<int>(type));
  } else {
    errno = EINVAL;
  }
  return result < 0 ? -errno : 0;
}

std::string describe_lock(uint32_t kind, uint32_t type, const std::string& path) {
  const char* what = kind == lock_kind::kPosix ? "POSIX" : kind == lock_kind::kFlock ? "flock" : "OFD";
  if (kind == lock_kind::kLease) return fmt::format("a lease on {}", path);
  return fmt::format("a {} lock ({}) on {}", type == F_WRLCK ? "write" : "read", what, path);
}

}  // namespace crx
