// Parses /proc/locks and the "lock:" lines of fdinfo (proc_locks(5), fs/locks.c).
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace crx::proc {

struct Lock {
  enum class Kind { posix, flock, ofd, lease, delegation };
  enum class Type { read, write, none };
  uint64_t id = 0;  // the running number in the file; a waiter has the number of the lock that blocks it
  Kind kind = Kind::posix;
  Type type = Type::none;
  bool waiting = false;  // "->" was printed: blocked by the lock with the same id
  bool mandatory = false;
  bool breaking = false;  // a lease that is being broken by another opener
  int32_t pid = 0;        // -1 for OFD locks, 0 when the owner is in another PID namespace
  uint32_t dev_major = 0;
  uint32_t dev_minor = 0;
  uint64_t inode = 0;
  uint64_t start = 0;         // first byte
  uint64_t end = UINT64_MAX;  // last byte; UINT64_MAX means the end of the file
  bool operator==(const Lock&) const = default;
};

// Parses one line, starting with the number ("1: POSIX  ADVISORY  WRITE 7061 fe:00:10952873 5 14").
Lock parse_lock_line(std::string_view line);
std::vector<Lock> parse_locks(std::string_view text);

}  // namespace crx::proc
