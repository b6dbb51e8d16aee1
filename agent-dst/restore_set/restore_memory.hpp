// Loads the memory of an image set into vessels.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "agent-dst/files/file_opener.hpp"
#include "agent-dst/objects/shmem_table.hpp"
#include "agent-dst/vessel/vessel_tree.hpp"
#include "common/image/image_store.hpp"
#include "common/image/page_images.hpp"
#include "common/plan/fork_plan.hpp"

namespace crx {

// Makes the vessels of a tree, maps their layouts and fills their pages. The images list the pages of each task, but
// not which pages are shared by fork. So the vessel of a task whose parent uses mostly the same addresses is forked
// from the parent's vessel with its pages, and only pages that differ are written: the others stay shared.
// Single-threaded.
class RestoreMemory {
 public:
  // `image` gets the name of the image that the step in progress takes its orders from, for errors that name none.
  RestoreMemory(const ImageSet& set, const ImageStore& images, FileOpener& files, ShmemTable& shmem, std::string& image)
      : set_(set), images_(images), files_(files), shmem_(shmem), image_(image) {}

  // commit_charged, guards: by pid, see VesselMemory::apply_layout and VesselMemory::guard_pages. Throws
  // Error(corrupt_image).
  ForkPlan build(VesselTree& tree, const std::vector<TaskNode>& tasks,
                 const std::map<pid_t, std::vector<uint64_t>>& commit_charged,
                 const std::map<pid_t, std::vector<PageRange>>& guards);

 private:
  void choose_next(std::vector<ForkRequest>& requests, std::set<pid_t>& made);
  bool looks_forked(const TaskNode& child, const TaskNode& parent);
  const img::mm_entry& layout(pid_t pid);
  std::vector<PageRange> pages_of(pid_t pid);
  void fill(pid_t pid, VesselMemory& memory, const std::vector<PageRange>& inherited);
  void fill_objects();
  template <typename Write>
  void copy_pages(PageSpace space, Write write);

  const ImageSet& set_;
  const ImageStore& images_;
  FileOpener& files_;
  ShmemTable& shmem_;
  std::string& image_;
  std::map<pid_t, img::mm_entry> layouts_;
  std::vector<std::byte> present_;
};

}  // namespace crx
