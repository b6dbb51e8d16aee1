#include "agent-dst/restore_set/complete_set.hpp"

#include <fmt/format.h>

#include <map>
#include <string>

#include "common/base/error.hpp"
#include "common/image/magic.hpp"
#include "common/image/schema/core.pb.h"
#include "common/image/schema/files.pb.h"
#include "common/image/schema/inventory.pb.h"
#include "common/image/schema/ipc.pb.h"
#include "common/image/schema/mm.pb.h"
#include "common/image/schema/regular.pb.h"
#include "common/image/set_check.hpp"
#include "common/kernel/ipc/sysv_ipc.hpp"

namespace crx {
namespace {

constexpr uint32_t kNoVmId = 0;

class Completeness {
 public:
  Completeness(const ImageSet& set, const ImageStore& images) : set_(set), images_(images) {}

  void check() {
    for (const auto& node : images_.read_all<img::pstree_entry>(image_file::kPstree)) check_task(node);
    // Tasks that share memory have one pagemap, whichever of them it is named after.
    for (const auto& [vm_id, task] : without_pages_) lacks(image_file::pagemap(task), task);
    if (set_.manifest() == nullptr) check_objects_of_criu();
  }

 private:
  [[noreturn]] void lacks(const std::string& name, const std::string& object) const {
    throw_damaged_image(set_.images().path() + "/" + name,
                        fmt::format("it is missing, and {} cannot be restored without it", object));
  }
  [[noreturn]] void lacks(const std::string& name, uint32_t pid) const { lacks(name, fmt::format("process {}", pid)); }
  void require(const std::string& name, uint32_t pid) const {
    if (!images_.contains(name)) lacks(name, pid);
  }

  void check_task(const img::pstree_entry& node) {
    const uint32_t pid = node.pid();
    require(image_file::core(pid), pid);
    const auto core = images_.read_one<img::core_entry>(image_file::core(pid));
    if (core.tc().task_state() == task_state::kZombie) return;
    for (const uint32_t tid : node.threads()) require(image_file::core(tid), pid);
    if (!core.has_ids()) lacks(image_file::ids(pid), pid);
    require(image_file::mm(pid), pid);
    require(image_file::fdinfo(core.ids().files_id()), pid);
    check_pages(pid, core.ids().vm_id());
    if (set_.manifest() == nullptr) check_of_criu(pid);
  }

  void check_pages(uint32_t pid, uint32_t vm_id) {
    const Manifest* manifest = set_.manifest();
    if (manifest != nullptr && manifest->head().kind() == img::crx_manifest_entry::CHECK_ONLY) return;
    const bool there = set_.images().contains(image_file::pagemap(pid));
    if (!there && vm_id == kNoVmId) lacks(image_file::pagemap(pid), pid);
    if (there) {
      without_pages_.erase(vm_id);
      with_pages_[vm_id] = pid;
    } else if (!with_pages_.contains(vm_id)) {
      without_pages_.try_emplace(vm_id, pid);
    }
  }

  void check_of_criu(uint32_t pid) const {
    require(image_file::fs(pid), pid);
    const auto mm = images_.read_one<img::mm_entry>(image_file::mm(pid));
    for (const img::vma_entry& vma : mm.vmas()) {
      const bool object = (vma.status() & vma_status::kAnonShared) != 0 && (vma.status() & vma_status::kSysvIpc) == 0;
      const std::string pages = image_file::pagemap_shmem(vma.shmid());
      if (object && !set_.images().contains(pages)) lacks(pages, pid);
    }
  }

  // Memory that need not be mapped by any task. CRIU writes no pagemap for an empty memfd.
  void check_objects_of_criu() const {
    for (const auto& inode : images_.read_all<img::memfd_inode_entry>(image_file::kMemfdInode)) {
      const std::string pages = image_file::pagemap_shmem(inode.shmid());
      if (inode.size() > 0 && !set_.images().contains(pages)) lacks(pages, "memfd " + inode.name());
    }
    for (const std::string& name : images_.names()) {
      if (!name.starts_with("ipcns-shm-")) continue;
      ImageReader image = images_.reader(name);
      for (img::ipc_shm_entry entry; image.next(entry);) check_segment(entry, image);
    }
  }

  void check_segment(const img::ipc_shm_entry& entry, ImageReader& image) const {
    if (!entry.in_pagemaps()) {
      image.raw_padded(entry.size(), 4);
      return;
    }
    const auto id = static_cast<uint32_t>(entry.desc().id());
    const std::string pages = image_file::pagemap_shmem(id | kSysvObjectBit);
    if (!set_.images().contains(pages)) lacks(pages, fmt::format("segment {}", id));
  }

  const ImageSet& set_;
  const ImageStore& images_;
  std::map<uint32_t, uint32_t> with_pages_, without_pages_;  // a task by vm_id
};

}  // namespace

void require_task_images(const ImageSet& set, const ImageStore& images) {
  const Manifest* manifest = set.manifest();
  if (manifest != nullptr && manifest->head().kind() == img::crx_manifest_entry::PRE_DUMP) return;
  Completeness(set, images).check();
}

}  // namespace crx
