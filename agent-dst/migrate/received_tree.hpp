// The tree at the destination: its vessels, and what has come of its files, memory and images.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "agent-dst/files/file_opener.hpp"
#include "agent-dst/migrate/destination_context.hpp"
#include "agent-dst/objects/shmem_table.hpp"
#include "agent-dst/vessel/vessel_tree.hpp"
#include "common/image/image_store.hpp"
#include "common/kernel/process/freezer_group.hpp"
#include "common/kernel/process/realtime.hpp"

namespace crx {

// Its parts refer to one another, so it stays at one address: states hand on a std::unique_ptr. Destroying it removes
// the vessels unless they were released. Single-threaded: the caller is the vessels' tracer. The calls throw
// Error(peer) for what is malformed or refers to a task that no layout has named, and what the vessels throw.
struct ReceivedTree {
  ReceivedTree();
  ReceivedTree(const ReceivedTree&) = delete;
  ReceivedTree& operator=(const ReceivedTree&) = delete;
  ~ReceivedTree();

  // Makes, removes and maps vessels until they are as the layout says. The first layout makes the time namespace and
  // the cgroup, too. Afterwards there is at least one vessel.
  void apply_layout(const wire::Layout& layout, const DestinationContext& context);
  // Keeps the image files; later ones replace those of the same name.
  void add_images(const wire::Images& message);
  // The source stops the tree now: from here on this process, the front and the vessels run at real-time priority. The
  // vessels get the tree's own scheduling when they are finished. Throws Error(peer) the second time.
  void become_urgent(const EngineOptions& options);

  std::optional<FreezerGroup> group;  // of the vessels; from the first layout on
  std::unique_ptr<FileOpener> files;
  ShmemTable shmem;
  VesselTree vessels;
  std::map<pid_t, std::vector<uint64_t>> commit_charged;  // see VesselMemory::apply_layout
  ImageStore images;
  std::vector<Realtime> realtime;  // of all that take part, while the tree is stopped

 private:
  void follow(const wire::Layout& layout, const DestinationContext& context);
  void map_space(const wire::SpaceLayout& space);
};

}  // namespace crx
