// System V objects of a tree: shared memory, semaphore sets, message queues.
#pragma once

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "agent-src/collect/ipc/ipc_users.hpp"
#include "common/image/image_io.hpp"
#include "common/image/schema/ipc.pb.h"
#include "common/kernel/ipc/sysv_ipc.hpp"

namespace crx {

// Makes the message from which the destination creates a segment (in ipcns-shm-*.img and in the layout of every round).
// huge_page_bytes: 0 for normal pages.
img::ipc_shm_entry describe_segment(const SysvSegment& segment, uint64_t huge_page_bytes);

// The objects with names or numbers that remain at the source after a tree has moved: System V objects and POSIX
// message queues.
class IpcLeftovers {
 public:
  IpcLeftovers() = default;
  // Takes them from the images of the tree. waiters: threads of the tree that wait on objects, which are therefore
  // certainly its own.
  explicit IpcLeftovers(const ImageSource& images, const std::vector<SysvWaiter>& waiters);
  // Removes the objects; to be called when the tree runs elsewhere. An object that has not been used since it was made
  // may belong to another process and stays. Errors are only logged.
  void remove() noexcept;

 private:
  std::vector<std::pair<SysvKind, int>> objects_;
  std::set<std::pair<SysvKind, int>> awaited_;
  std::vector<std::string> queues_;
};

}  // namespace crx
