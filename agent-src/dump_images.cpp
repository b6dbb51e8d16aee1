#include "agent-src/dump_images.hpp"

#include <fcntl.h>

#include <algorithm>
#include <span>
#include <string>
#include <utility>

#include "common/image/files.pb.h"
#include "common/image/inventory.pb.h"
#include "common/image/magic.hpp"
#include "common/image/namespaces.pb.h"

namespace crx {
namespace {

constexpr std::size_t kMagicBytes = 8;
constexpr int64_t kSecond = 1'000'000'000;
constexpr uint32_t kOutside = 0x7fffffff;  // no task has an object of this id

img::crx_vma_entry& entry_of(img::crx_task_entry& extra, uint64_t start, uint64_t end) {
  for (img::crx_vma_entry& entry : *extra.mutable_vmas()) {
    if (entry.end() != 0 && entry.start() == start) return entry;
  }
  img::crx_vma_entry& entry = *extra.add_vmas();
  entry.set_start(start);
  entry.set_end(end);
  return entry;
}

// A log that is appended to may have any size when the task comes back.
void relax_sizes(img::file_entry& file) {
  if (!file.has_reg()) return;
  img::reg_file_entry& reg = *file.mutable_reg();
  if ((reg.flags() & O_APPEND) != 0 && (reg.flags() & O_ACCMODE) == O_WRONLY) reg.clear_size();
}

// Whoever restores compares the task's objects with these to see what the task has for itself: all but namespaces.
void tell_apart(img::inventory_entry& inventory) {
  if (!inventory.has_root_ids()) return;
  img::task_kobj_ids_entry& ids = *inventory.mutable_root_ids();
  ids.set_vm_id(kOutside);
  ids.set_files_id(kOutside);
  ids.set_fs_id(kOutside);
  ids.set_sighand_id(kOutside);
}

// What the clocks showed, as CRIU keeps it.
void write_clocks(const ImageStore& images, DirectorySink& set) {
  const auto tasks = images.read_all<img::pstree_entry>(image_file::kPstree);
  if (tasks.empty()) return;
  const auto extra = images.try_read_one<img::crx_task_entry>(image_file::crx_task(tasks.front().pid()));
  if (!extra || !extra->has_monotonic_ns() || !extra->has_boottime_ns()) return;
  img::timens_entry clocks;
  const auto fill = [](img::timespec& to, int64_t ns) {
    to.set_tv_sec(static_cast<uint64_t>(ns / kSecond));
    to.set_tv_nsec(static_cast<uint64_t>(ns % kSecond));
  };
  fill(*clocks.mutable_monotonic(), extra->monotonic_ns());
  fill(*clocks.mutable_boottime(), extra->boottime_ns());
  set.append(image_file::timens(0), clocks);
}

template <typename Message, typename Change>
void copy_entries(const ImageStore& images, const std::string& name, DirectorySink& set, Change change) {
  set.create(name);
  for (Message& entry : images.read_all<Message>(name)) {
    change(entry);
    set.append(name, entry);
  }
}

}  // namespace

void add_accounted(const std::vector<uint64_t>& starts, const img::mm_entry& mm, img::crx_task_entry& extra) {
  for (const img::vma_entry& vma : mm.vmas()) {
    if (std::find(starts.begin(), starts.end(), vma.start()) == starts.end()) continue;
    entry_of(extra, vma.start(), vma.end()).add_vm_flags("ac");
  }
}

void add_guards(const FinalSpace& space, ImageStore& images) {
  if (space.guards.empty()) return;
  const std::string name = image_file::crx_task(static_cast<uint32_t>(space.pid));
  auto extra = images.read_one<img::crx_task_entry>(name);
  for (const PageRange& range : space.guards) {
    img::crx_vma_entry& entry = entry_of(extra, range.start, range.end);
    img::crx_address_range& guard = *entry.add_guards();
    guard.set_start(range.start);
    guard.set_end(range.end);
  }
  images.erase(name);
  images.append(name, extra);
}

void write_images(ImageStore& images, DirectorySink& set) {
  for (const auto& [name, bytes] : images.files()) {
    if (name == image_file::kFiles) {
      copy_entries<img::file_entry>(images, name, set, relax_sizes);
      continue;
    }
    if (name == image_file::kInventory) {
      copy_entries<img::inventory_entry>(images, name, set, tell_apart);
      continue;
    }
    // Whole, with its magics: append_raw begins the file, so only what follows them is added.
    set.create(name);
    set.append_raw(name, std::as_bytes(std::span(bytes)).subspan(kMagicBytes));
  }
  write_clocks(images, set);
}

}  // namespace crx
