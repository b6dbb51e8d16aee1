// The tree at the destination: its vessels, and those files, memory and images of it that have arrived so far.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "agent-dst/files/file_opener.hpp"
#include "agent-dst/migrate/destination_context.hpp"
#include "agent-dst/migrate/present_pages.hpp"
#include "agent-dst/objects/shmem_table.hpp"
#include "agent-dst/policy/policy.hpp"
#include "agent-dst/vessel/vessel_tree.hpp"
#include "common/base/clock.hpp"
#include "common/image/claimed_memory.hpp"
#include "common/image/image_store.hpp"
#include "common/image/schema/mm.pb.h"
#include "common/kernel/process/freezer_group.hpp"
#include "common/kernel/process/realtime.hpp"

namespace crx {

// Its parts refer to one another, so it cannot be moved: states pass on a std::unique_ptr to it. The destructor removes
// the vessels unless they were released. Single-threaded: the calling thread is the vessels' tracer. The functions
// throw Error(peer) for a message that is malformed or refers to a task that no layout has named, and the errors of
// Vessel.
struct ReceivedTree {
  // policy: must outlive this object. Whatever breaks a rule of it is refused (Error(refused)) before it is done.
  // rules: for the files that are made for the tree.
  ReceivedTree(const Policy& policy, FileRules rules);
  ReceivedTree(const ReceivedTree&) = delete;
  ReceivedTree& operator=(const ReceivedTree&) = delete;
  ~ReceivedTree();

  // Creates, removes and maps vessels until they match the layout. The first layout also creates the time namespace and
  // the cgroup. Afterwards there is at least one vessel.
  void apply_layout(const wire::Layout& layout, const DestinationContext& context);
  // Stores the image files; a later file replaces an earlier one of the same name.
  void add_images(const wire::Images& message);
  // Writes pages that have arrived into their vessel or object.
  void write_pages(const wire::PagesArrived& pages);
  // Makes pages of a vessel or object absent.
  void drop_pages(PageSpace space, const std::vector<PageRange>& ranges);
  // Gives this process, the session's and the vessels real-time priority; to be called when the source stops the tree.
  // The vessels get the tree's own scheduling when they are finished. Throws Error(peer) when it is called again, also
  // after calm_down().
  void become_urgent(const EngineOptions& options);
  // Gives this process and the session's their usual priority back. The vessels are stopped, and run only for this
  // process.
  void calm_down() noexcept;

  std::optional<FreezerGroup> group;  // the vessels' cgroup; exists from the first layout on
  std::unique_ptr<FileOpener> files;
  ShmemTable shmem;
  VesselTree vessels;
  std::map<pid_t, std::vector<uint64_t>> commit_charged;  // see VesselMemory::apply_layout
  ImageStore images;
  std::vector<Realtime> realtime;             // of all processes that take part, while the tree is stopped
  Deadline urgent_until = Deadline::never();  // when calm_down() is due: a source may not keep the priority as it likes

 private:
  struct Mapped {
    const wire::SpaceLayout& space;
    img::mm_entry mm;
    std::vector<uint64_t> charged;
  };
  void check_size(const wire::Layout& layout, const std::vector<Mapped>& spaces);
  void follow(const wire::Layout& layout, const DestinationContext& context);
  void map_space(const Mapped& mapped);

  const Policy& policy_;
  ClaimedMemory claimed_;
  PresentPages present_;
  bool was_urgent_ = false;
};

}  // namespace crx
