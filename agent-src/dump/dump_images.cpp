#include "agent-src/dump/dump_images.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <set>
#include <span>
#include <string>
#include <utility>

#include "common/base/error.hpp"
#include "common/base/fd.hpp"
#include "common/base/log.hpp"
#include "common/image/magic.hpp"
#include "common/image/schema/core.pb.h"
#include "common/image/schema/files.pb.h"
#include "common/image/schema/inventory.pb.h"
#include "common/image/schema/namespaces.pb.h"
#include "common/kernel/files/file_identity.hpp"

namespace crx {
namespace {

constexpr std::size_t kMagicBytes = 8;
// This is -ERESTART_RESTARTBLOCK.
constexpr int64_t kRestartBlock = -516;
constexpr uint64_t kSyscallInstructionBytes = 2;
// CRIU reads at most this many words.
constexpr int kAuxvWords = 44;
constexpr int64_t kSecond = 1'000'000'000;
// No task has an object with this id.
constexpr uint32_t kOutside = 0x7fffffff;

img::crx_vma_entry& entry_of(img::crx_task_entry& extra, uint64_t start, uint64_t end) {
  for (img::crx_vma_entry& entry : *extra.mutable_vmas()) {
    if (entry.end() != 0 && entry.start() == start) return entry;
  }
  img::crx_vma_entry& entry = *extra.add_vmas();
  entry.set_start(start);
  entry.set_end(end);
  return entry;
}

// Removes the size from a file that is opened only for appending: a log may have any size when the task is restored.
void relax_sizes(img::file_entry& file) {
  if (!file.has_reg()) return;
  img::reg_file_entry& reg = *file.mutable_reg();
  if ((reg.flags() & O_APPEND) != 0 && (reg.flags() & O_ACCMODE) == O_WRONLY) reg.clear_size();
}

// Records the build id of a mapped program or library in 32-bit words, as CRIU does.
void add_build_id(img::file_entry& file) {
  if (!file.has_reg() || !S_ISREG(file.reg().mode()) || (file.reg().flags() & O_ACCMODE) != O_RDONLY) return;
  img::reg_file_entry& reg = *file.mutable_reg();
  try {
    const std::string id = identify_file(reg.name(), reg.name(), ContentCheck::none).build_id;
    if (id.size() % sizeof(uint32_t) != 0) return;
    for (std::size_t at = 0; at < id.size(); at += sizeof(uint32_t)) {
      uint32_t word = 0;
      std::memcpy(&word, id.data() + at, sizeof word);
      reg.add_build_id(word);
    }
  } catch (const Error& error) {
    // The file may have been deleted.
    log::debug("{}: {}", reg.name(), error.what());
  }
}

// A restore compares each task's objects with the root ids to find those that the task does not share. These ids make
// all of them differ, except for namespaces.
void make_ids_differ(img::inventory_entry& inventory) {
  if (!inventory.has_root_ids()) return;
  img::task_kobj_ids_entry& ids = *inventory.mutable_root_ids();
  ids.set_vm_id(kOutside);
  ids.set_files_id(kOutside);
  ids.set_fs_id(kOutside);
  ids.set_sighand_id(kOutside);
}

// Makes the thread repeat a sleep whose remaining time only the kernel knows, for a restorer that does not read
// crx_restart: a sleep may last longer, but must not end early. restore_images.cpp undoes this.
void repeat_sleep(const img::crx_thread_entry& thread, img::core_entry& core) {
  if (!thread.has_restart() || static_cast<int64_t>(thread.restart().ax()) != kRestartBlock) return;
  img::user_x86_regs_entry& regs = *core.mutable_thread_info()->mutable_gpregs();
  regs.set_ax(static_cast<uint64_t>(thread.restart().nr()));
  regs.set_ip(regs.ip() - kSyscallInstructionBytes);
}

// Returns the entries of all threads of all tasks, by TID.
std::map<uint32_t, img::crx_thread_entry> threads_of(const ImageStore& images) {
  std::map<uint32_t, img::crx_thread_entry> all;
  for (const auto& node : images.read_all<img::pstree_entry>(image_file::kPstree)) {
    const auto extra = images.try_read_one<img::crx_task_entry>(image_file::crx_task(node.pid()));
    if (!extra) continue;
    for (const img::crx_thread_entry& thread : extra->threads()) all[thread.tid()] = thread;
  }
  return all;
}

// Returns the ids of all files that are mapped privately or executed.
std::set<uint32_t> mapped_files(const ImageStore& images) {
  std::set<uint32_t> ids;
  for (const auto& node : images.read_all<img::pstree_entry>(image_file::kPstree)) {
    const auto mm = images.try_read_one<img::mm_entry>(image_file::mm(node.pid()));
    if (!mm) continue;
    ids.insert(mm->exe_file_id());
    for (const img::vma_entry& vma : mm->vmas()) {
      if ((vma.status() & vma_status::kFilePrivate) != 0) ids.insert(static_cast<uint32_t>(vma.shmid()));
    }
  }
  return ids;
}

// Returns the files in the order that CRIU needs. CRIU creates both sockets of a pair of unix sockets in the task that
// holds the one it reads last, and this must be the task that comes first in the tree. So unix sockets come last, and
// those of later tasks come before those of earlier ones.
std::vector<img::file_entry> ordered_files(const ImageStore& images) {
  std::map<uint32_t, std::size_t> first_holder;
  const auto tasks = images.read_all<img::pstree_entry>(image_file::kPstree);
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    const auto ids = images.try_read_one<img::task_kobj_ids_entry>(image_file::ids(tasks[i].pid()));
    if (!ids) continue;
    for (const auto& info : images.read_all<img::fdinfo_entry>(image_file::fdinfo(ids->files_id())))
      first_holder.try_emplace(info.id(), i);
  }
  std::vector<img::file_entry> files = images.read_all<img::file_entry>(image_file::kFiles);
  const auto rank = [&](const img::file_entry& file) {
    const auto found = first_holder.find(file.id());
    return found == first_holder.end() ? std::size_t{0} : found->second;
  };
  std::stable_sort(files.begin(), files.end(), [&](const img::file_entry& a, const img::file_entry& b) {
    if (a.has_usk() != b.has_usk()) return b.has_usk();
    return a.has_usk() && rank(a) > rank(b);
  });
  return files;
}

// Removes the zeros behind the last entry: CRIU takes as many words as the image has.
void trim_auxv(img::mm_entry& mm) {
  auto& words = *mm.mutable_mm_saved_auxv();
  int used = words.size();
  while (used >= 2 && words.Get(used - 1) == 0 && words.Get(used - 2) == 0) used -= 2;
  words.Truncate(std::min(used, kAuxvWords));
}

// Records the flags with which each mapped file was opened: they limit the protection that the mapping can get.
void add_open_flags(img::mm_entry& mm, const std::map<uint32_t, uint32_t>& flags) {
  for (img::vma_entry& vma : *mm.mutable_vmas()) {
    if ((vma.status() & (vma_status::kFileShared | vma_status::kFilePrivate)) == 0) continue;
    const auto found = flags.find(static_cast<uint32_t>(vma.shmid()));
    if (found != flags.end()) vma.set_fdflags(found->second);
  }
}

// Describes the vDSO and its data as CRIU expects them: as private anonymous memory, with all data in one mapping.
void describe_vdso(img::mm_entry& mm) {
  google::protobuf::RepeatedPtrField<img::vma_entry> vmas;
  for (img::vma_entry& vma : *mm.mutable_vmas()) {
    if ((vma.status() & (vma_status::kVvar | vma_status::kVdso | vma_status::kVsyscall)) != 0) {
      vma.set_flags(vma.flags() | MAP_ANONYMOUS);
    }
    img::vma_entry* last = vmas.empty() ? nullptr : vmas.Mutable(vmas.size() - 1);
    if (last != nullptr && (last->status() & vma.status() & vma_status::kVvar) != 0 && last->end() == vma.start()) {
      last->set_end(vma.end());
    } else {
      vmas.Add(std::move(vma));
    }
  }
  mm.mutable_vmas()->Swap(&vmas);
}

// Records what the clocks showed, in CRIU's format.
void write_clocks(const ImageStore& images, ImageSink& set) {
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
void copy_entries(const ImageStore& images, const std::string& name, ImageSink& set, Change change) {
  set.create(name);
  for (Message& entry : images.read_all<Message>(name)) {
    change(entry);
    set.append(name, entry);
  }
}

}  // namespace

void add_commit_charged(pid_t pid, const std::vector<uint64_t>& starts, ImageStore& images) {
  if (starts.empty()) return;
  const std::string name = image_file::crx_task(static_cast<uint32_t>(pid));
  auto extra = images.read_one<img::crx_task_entry>(name);
  const auto mm = images.read_one<img::mm_entry>(image_file::mm(static_cast<uint32_t>(pid)));
  for (const img::vma_entry& vma : mm.vmas()) {
    if (std::find(starts.begin(), starts.end(), vma.start()) == starts.end()) continue;
    entry_of(extra, vma.start(), vma.end()).add_vm_flags("ac");
  }
  images.erase(name);
  images.append(name, extra);
}

std::vector<PageRange> vdso_of(const ImageStore& images, pid_t pid) {
  std::vector<PageRange> ranges;
  const auto mm = images.read_one<img::mm_entry>(image_file::mm(static_cast<uint32_t>(pid)));
  for (const img::vma_entry& vma : mm.vmas()) {
    if ((vma.status() & vma_status::kVdso) != 0) append_range(ranges, {vma.start(), vma.end()});
  }
  return ranges;
}

void add_guards(pid_t pid, const std::vector<PageRange>& guards, ImageStore& images) {
  if (guards.empty()) return;
  const std::string name = image_file::crx_task(static_cast<uint32_t>(pid));
  auto extra = images.read_one<img::crx_task_entry>(name);
  for (const PageRange& range : guards) {
    img::crx_vma_entry& entry = entry_of(extra, range.start, range.end);
    img::crx_address_range& guard = *entry.add_guards();
    guard.set_start(range.start);
    guard.set_end(range.end);
  }
  images.erase(name);
  images.append(name, extra);
}

void describe_pre_dump(const std::vector<TaskNode>& tasks, ImageSink& images) {
  img::inventory_entry inventory;
  inventory.set_img_version(kImageVersion);
  inventory.set_fdinfo_per_id(true);
  inventory.set_ns_per_id(true);
  images.append(image_file::kInventory, inventory);
  for (const TaskNode& task : tasks) {
    img::pstree_entry node;
    node.set_pid(static_cast<uint32_t>(task.pid));
    node.set_ppid(&task == &tasks.front() ? 0 : static_cast<uint32_t>(task.ppid));
    node.set_pgid(static_cast<uint32_t>(task.pgid));
    node.set_sid(static_cast<uint32_t>(task.sid));
    node.add_threads(static_cast<uint32_t>(task.pid));
    images.append(image_file::kPstree, node);
  }
}

void write_images(ImageStore& images, ImageSink& set) {
  const std::map<uint32_t, img::crx_thread_entry> threads = threads_of(images);
  // Holds the open flags of files, by file id.
  std::map<uint32_t, uint32_t> flags;
  for (const auto& file : images.read_all<img::file_entry>(image_file::kFiles)) {
    if (file.has_reg()) flags[file.id()] = file.reg().flags();
  }
  const std::set<uint32_t> mapped = mapped_files(images);
  for (const auto& [name, bytes] : images.files()) {
    if (name == image_file::kFiles) {
      set.create(name);
      for (img::file_entry& file : ordered_files(images)) {
        relax_sizes(file);
        if (mapped.contains(file.id())) add_build_id(file);
        set.append(name, file);
      }
      continue;
    }
    if (name == image_file::kInventory) {
      copy_entries<img::inventory_entry>(images, name, set, make_ids_differ);
      continue;
    }
    if (name.starts_with("mm-")) {
      copy_entries<img::mm_entry>(images, name, set, [&](img::mm_entry& mm) {
        trim_auxv(mm);
        describe_vdso(mm);
        add_open_flags(mm, flags);
      });
      continue;
    }
    if (name.starts_with("core-")) {
      const auto thread = threads.find(static_cast<uint32_t>(std::strtoul(name.c_str() + 5, nullptr, 10)));
      copy_entries<img::core_entry>(images, name, set, [&](img::core_entry& core) {
        if (thread != threads.end()) repeat_sleep(thread->second, core);
      });
      continue;
    }
    // The image is copied whole. append_raw writes the magics itself, so only the bytes behind them are added.
    set.create(name);
    set.append_raw(name, std::as_bytes(std::span(bytes)).subspan(kMagicBytes));
  }
  write_clocks(images, set);
}

}  // namespace crx
