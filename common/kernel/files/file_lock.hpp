// Takes and releases one file lock through a descriptor, with the values of CRIU's file_lock_entry.
#pragma once

#include <fcntl.h>

#include <cerrno>
#include <cstdint>
#include <string>

namespace crx {

// FL_ values of the kernel, as in CRIU's images.
namespace lock_kind {
inline constexpr uint32_t kPosix = 1;
inline constexpr uint32_t kFlock = 2;
inline constexpr uint32_t kLease = 32;
inline constexpr uint32_t kOfd = 1024;
}  // namespace lock_kind

// A struct flock for fcntl(2). type: F_RDLCK, F_WRLCK or F_UNLCK. len 0: to the end of the file.
struct flock lock_range(uint32_t type, int64_t start, int64_t len);

// The same type as an operation of flock(2), with LOCK_NB.
int flock_operation(uint32_t type);

// Sets a lock that belongs to the open file description (flock, OFD, lease), through any descriptor of it. Never waits.
// Returns 0 or -errno (EWOULDBLOCK / EAGAIN / EACCES: another holder has a conflicting lock).
int set_description_lock(int fd, uint32_t kind, uint32_t type, int64_t start, int64_t len);

inline bool is_conflict(int64_t result) {
  return result == -EAGAIN || result == -EACCES;
}

// Text for messages: "a write lock (flock) on /path".
std::string describe_lock(uint32_t kind, uint32_t type, const std::string& path);

}  // namespace crx
