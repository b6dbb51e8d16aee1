// System V objects of a tree: shared memory, semaphores, message queues.
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

// What the destination makes a segment from (ipcns-shm-*.img, and the layout of every round). huge_page_bytes: 0 for
// small pages.
img::ipc_shm_entry describe_segment(const SysvSegment& segment, uint64_t huge_page_bytes);

// The objects with names or numbers that stay behind when a tree has moved: System V objects, POSIX message queues.
class IpcLeftovers {
 public:
  IpcLeftovers() = default;
  // Of a set of images of the tree. waiters: those of the tree; what they wait for is certainly its own.
  explicit IpcLeftovers(const ImageSource& images, const std::vector<SysvWaiter>& waiters);
  // When the tree runs elsewhere. What nobody has used since it was made may be another's, and stays.
  void remove() noexcept;

 private:
  std::vector<std::pair<SysvKind, int>> objects_;
  std::set<std::pair<SysvKind, int>> awaited_;
  std::vector<std::string> queues_;
};

}  // namespace crx
