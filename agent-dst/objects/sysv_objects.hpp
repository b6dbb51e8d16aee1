// Makes the System V objects of a tree at the destination.
#pragma once

#include <map>
#include <set>
#include <utility>
#include <vector>

#include "common/base/fd.hpp"
#include "common/image/schema/ipc.pb.h"
#include "common/kernel/ipc/sysv_ipc.hpp"

namespace crx {

// Converts an image entry. Throws Error(corrupt_image) for a number that is too high.
SysvPerm perm_of(const img::ipc_desc_entry& desc);

// Owns the objects that it made: the destructor removes them, unless keep() was called. Single-threaded.
class SysvObjects {
 public:
  SysvObjects() = default;
  SysvObjects(SysvObjects&& other) noexcept
      : made_(std::exchange(other.made_, {})), adopted_(std::exchange(other.adopted_, {})) {}
  SysvObjects& operator=(SysvObjects&&) = delete;
  ~SysvObjects();

  // Each makes an object with the entry's number and key. They throw Error(refused) where one of these is taken,
  // Error(corrupt_image) for an invalid entry. make_segment() throws Error(unsupported) for a segment of 0 bytes.
  void make_segment(const img::ipc_shm_entry& entry);
  void make_set(const img::ipc_sem_entry& entry);
  void make_queue(const img::ipc_msg_entry& entry);
  bool contains(SysvKind kind, int id) const { return made_.contains({kind, id}) || adopted_.contains({kind, id}); }
  // Passes the ownership of the objects to the tree: from here on the destructor does not remove them.
  void keep() noexcept { made_.clear(); }

 private:
  std::set<std::pair<SysvKind, int>> made_;
  // Objects that this tree left behind on this host when it moved away, and that no process has used since.
  std::set<std::pair<SysvKind, int>> adopted_;
};

// Returns the size of the segment's huge pages in bytes; 0 for small pages. Throws Error(corrupt_image).
uint64_t huge_page_bytes(const img::ipc_shm_entry& entry);
// Opens the shared-memory object behind a segment that exists; the caller owns the descriptor. Throws Error.
Fd open_segment(const img::ipc_shm_entry& entry);

}  // namespace crx
