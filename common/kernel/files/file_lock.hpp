// Taking and releasing one file lock through a descriptor, as file_lock_entry tells it.
#pragma once

#include <fcntl.h>

#include <cerrno>
#include <cstdint>
#include <string>

namespace crx {

// FL_ of the kernel, as in CRIU's images.
namespace lock_kind {
inline constexpr uint32_t kPosix = 1;
inline constexpr uint32_t kFlock = 2;
inline constexpr uint32_t kLease = 32;
inline constexpr uint32_t kOfd = 1024;
}  // namespace lock_kind

// type: F_RDLCK, F_WRLCK or F_UNLCK. len 0: to the end of the file.
struct flock lock_range(uint32_t type, int64_t start, int64_t len);

// The same type for flock(2), not to wait.
int flock_operation(uint32_t type);

// A lock that belongs to the open file description (flock, OFD, lease): any descriptor of it will do. Never waits.
// 0 or -errno (EWOULDBLOCK / EAGAIN / EACCES: somebody else has it).
int set_description_lock(int fd, uint32_t kind, uint32_t type, int64_t start, int64_t len);

inline bool is_conflict(int64_t result) {
  return result == -EAGAIN || result == -EACCES;
}

// "a write lock (flock) on /path", for messages.
std::string describe_lock(uint32_t kind, uint32_t type, const std::string& path);

}  // namespace crx
