// /proc/locks, and the "lock:" lines of fdinfo (proc_locks(5), fs/locks.c).
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace crx::proc {

struct Lock {
  enum class Kind { posix, flock, ofd, lease, delegation };
  enum class Type { read, write, none };
  uint64_t id = 0;  // the file's running number; a waiter has its blocker's
  Kind kind = Kind::posix;
  Type type = Type::none;
  bool waiting = false;  // "->": blocked by the lock with the same id
  bool mandatory = false;
  bool breaking = false;  // a lease that is being broken
  int32_t pid = 0;        // -1 for OFD locks, 0 for an owner in another PID namespace
  uint32_t dev_major = 0;
  uint32_t dev_minor = 0;
  uint64_t inode = 0;
  uint64_t start = 0;         // bytes
  uint64_t end = UINT64_MAX;  // the last byte; UINT64_MAX is the end of the file
  bool operator==(const Lock&) const = default;
};

// One line, from the number on ("1: POSIX  ADVISORY  WRITE 7061 fe:00:10952873 5 14").
Lock parse_lock_line(std::string_view line);
std::vector<Lock> parse_locks(std::string_view text);

}  // namespace crx::proc
