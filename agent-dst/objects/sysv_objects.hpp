// System V objects made for a tree at the destination.
#pragma once

#include <map>
#include <set>
#include <utility>
#include <vector>

#include "common/base/fd.hpp"
#include "common/image/schema/ipc.pb.h"
#include "common/kernel/ipc/sysv_ipc.hpp"

namespace crx {

SysvPerm perm_of(const img::ipc_desc_entry& desc);

// Remembers the objects that it made, and removes them again when it is destroyed, unless keep() was called.
class SysvObjects {
 public:
  SysvObjects() = default;
  SysvObjects(SysvObjects&& other) noexcept
      : made_(std::exchange(other.made_, {})), adopted_(std::exchange(other.adopted_, {})) {}
  SysvObjects& operator=(SysvObjects&&) = delete;
  ~SysvObjects();

  // Each makes an object with the entry's number and key. Throw Error(refused) where that is taken,
  // Error(corrupt_image).
  void make_segment(const img::ipc_shm_entry& entry);
  void make_set(const img::ipc_sem_entry& entry);
  void make_queue(const img::ipc_msg_entry& entry);
  bool contains(SysvKind kind, int id) const { return made_.contains({kind, id}) || adopted_.contains({kind, id}); }
  // The objects belong to the tree from here on and stay.
  void keep() noexcept { made_.clear(); }

 private:
  std::set<std::pair<SysvKind, int>> made_;
  // Objects that this tree left behind here when it moved away, and that nobody has used since.
  std::set<std::pair<SysvKind, int>> adopted_;
};

// The size of the segment's huge pages in bytes, 0 when its pages are small. Throws Error(corrupt_image).
uint64_t huge_page_bytes(const img::ipc_shm_entry& entry);
// A descriptor of the shared-memory object behind a segment that exists. Throws Error.
Fd open_segment(const img::ipc_shm_entry& entry);

}  // namespace crx
