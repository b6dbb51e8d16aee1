// The file locks of the original in the journal of its source: whoever recovers the session takes them back.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "common/base/journal.hpp"

namespace crx {

// The detail of a record GO, or OPEN, of a tree with file locks that have been released or are about to be.
inline constexpr char kReleasedLocks[] = "its file locks are released";

// A lock as crx-migrate has collected it, with the values of CRIU's file_lock_entry
// (common/kernel/files/file_lock.hpp).
struct HeldLock {
  pid_t pid = 0;
  uint32_t fd = 0;  // a descriptor of `pid` by which the lock is taken
  uint32_t kind = 0, type = 0;
  int64_t start = 0, len = 0;
  // For a lease: the process that it notifies (struct f_owner_ex) and the signal. The kernel forgets both when the
  // lease is released.
  int32_t owner_type = 0, owner = 0, signal = 0;

  bool operator==(const HeldLock&) const = default;
};

// The locks as details of records OPEN, to be written before they are released. If there are so many that the journal
// has no room for them, a single one, kReleasedLocks, says only that there are some.
std::vector<std::string> to_details(const std::vector<HeldLock>& locks);
// The locks in these records, in their order; empty if there are none.
std::vector<HeldLock> find_held_locks(const std::vector<JournalRecord>& records);

}  // namespace crx
