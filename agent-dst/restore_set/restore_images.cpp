#include "agent-dst/restore_set/restore_images.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <map>
#include <string>
#include <utility>

#include "common/base/error.hpp"
#include "common/image/magic.hpp"
#include "common/image/schema/core.pb.h"
#include "common/image/schema/files.pb.h"
#include "common/image/schema/inventory.pb.h"
#include "common/image/schema/mm.pb.h"
#include "common/image/schema/namespaces.pb.h"
#include "common/image/schema/regular.pb.h"

namespace crx {
namespace {

constexpr int64_t kInterrupted = -4;     // -EINTR
constexpr int64_t kRestartBlock = -516;  // -ERESTART_RESTARTBLOCK
constexpr uint64_t kSyscallInstructionBytes = 2;
constexpr uint64_t kSecond = 1'000'000'000;
constexpr uint64_t kMaxSeconds = uint64_t{1} << 32;

// Drops the expected size of a file that is written: the program, or another restore of it, may have changed it since.
void relax_size(img::file_entry& file) {
  if (!file.has_reg() || !file.reg().has_size()) return;
  img::reg_file_entry& reg = *file.mutable_reg();
  if ((reg.flags() & O_ACCMODE) == O_RDONLY) return;
  struct stat st {};
  if (::stat(reg.name().c_str(), &st) == 0 && static_cast<uint64_t>(st.st_size) > reg.size()) reg.clear_size();
}

template <typename Message, typename Change>
void rewrite(ImageStore& images, std::string_view name, Change change) {
  std::vector<Message> entries = images.read_all<Message>(name);
  images.erase(name);
  images.create(name);
  for (Message& entry : entries) {
    change(entry);
    images.append(name, entry);
  }
}

// Reverts a change that dump_images.cpp makes for other readers of the set.
void undo_repeated_sleeps(ImageStore& images) {
  for (const auto& node : images.read_all<img::pstree_entry>(image_file::kPstree)) {
    const auto extra = images.try_read_one<img::crx_task_entry>(image_file::crx_task(node.pid()));
    if (!extra) continue;
    for (const img::crx_thread_entry& thread : extra->threads()) {
      const std::string core = image_file::core(thread.tid());
      if (!thread.has_restart() || static_cast<int64_t>(thread.restart().ax()) != kRestartBlock) continue;
      rewrite<img::core_entry>(images, core, [&](img::core_entry& entry) {
        if (!entry.has_thread_info()) return;
        img::user_x86_regs_entry& regs = *entry.mutable_thread_info()->mutable_gpregs();
        regs.set_ax(static_cast<uint64_t>(kInterrupted));
        regs.set_ip(regs.ip() + kSyscallInstructionBytes);
      });
    }
  }
}

// Whether one of the queued signals is not blocked.
bool any_arrives(const img::signal_queue_entry& queue, uint64_t blocked) {
  return std::any_of(queue.signals().begin(), queue.signals().end(), [blocked](const img::siginfo_entry& signal) {
    int32_t number = 0;
    if (signal.siginfo().size() < sizeof number) return true;
    std::memcpy(&number, signal.siginfo().data(), sizeof number);
    return number < 1 || number > 64 || (blocked >> (number - 1) & 1) == 0;
  });
}

// In a set made by CRIU a call that the freeze interrupted has returned -EINTR. If no signal is pending, the program
// would see that error for no reason, so the call is made again.
void repeat_interrupted_call(img::core_entry& core) {
  if (!core.has_thread_info()) return;  // a zombie
  img::user_x86_regs_entry& regs = *core.mutable_thread_info()->mutable_gpregs();
  const uint64_t blocked =
      core.thread_core().has_blk_sigset() ? core.thread_core().blk_sigset() : core.tc().blk_sigset();
  const bool signalled =
      any_arrives(core.thread_core().signals_p(), blocked) || any_arrives(core.tc().signals_s(), blocked);
  constexpr uint64_t kCalls[] = {SYS_nanosleep,   SYS_clock_nanosleep, SYS_poll,       SYS_ppoll,
                                 SYS_select,      SYS_pselect6,        SYS_epoll_wait, SYS_futex,
                                 SYS_epoll_pwait, SYS_rt_sigtimedwait, SYS_semtimedop};
  const bool known = std::find(std::begin(kCalls), std::end(kCalls), regs.orig_ax()) != std::end(kCalls);
  if (signalled || !known || static_cast<int64_t>(regs.ax()) != kInterrupted) return;
  regs.set_ax(regs.orig_ax());
  regs.set_ip(regs.ip() - kSyscallInstructionBytes);
}

void repeat_interrupted_calls(ImageStore& images) {
  for (const auto& node : images.read_all<img::pstree_entry>(image_file::kPstree)) {
    if (images.contains(image_file::crx_task(node.pid()))) continue;
    for (const uint32_t tid : node.threads()) {
      if (images.contains(image_file::core(tid)))
        rewrite<img::core_entry>(images, image_file::core(tid), repeat_interrupted_call);
    }
  }
}

// CRIU stores the ids of shared objects in a separate file.
void add_ids(ImageStore& images) {
  for (const auto& node : images.read_all<img::pstree_entry>(image_file::kPstree)) {
    const auto ids = images.try_read_one<img::task_kobj_ids_entry>(image_file::ids(node.pid()));
    const std::string core = image_file::core(node.pid());
    if (!ids || !images.contains(core)) continue;
    rewrite<img::core_entry>(images, core, [&](img::core_entry& entry) {
      if (!entry.has_ids()) *entry.mutable_ids() = *ids;
    });
  }
}

// O_TMPFILE named the directory in which to create the file; when a file is reopened the flag must not be set.
void clear_tmpfile(img::file_entry& file) {
  if (!file.has_reg() || (file.reg().flags() & O_TMPFILE) != O_TMPFILE) return;
  file.mutable_reg()->set_flags(file.reg().flags() & ~static_cast<uint32_t>(O_TMPFILE));
}

// CRIU numbers memfds and their content separately; here one number serves for both.
void join_memfd_ids(ImageStore& images) {
  std::map<uint64_t, uint32_t> contents;
  for (const auto& inode : images.read_all<img::memfd_inode_entry>(image_file::kMemfdInode))
    contents[inode.inode_id()] = inode.shmid();
  if (contents.empty()) return;
  rewrite<img::memfd_inode_entry>(images, image_file::kMemfdInode,
                                  [](img::memfd_inode_entry& inode) { inode.set_inode_id(inode.shmid()); });
  rewrite<img::file_entry>(images, image_file::kFiles, [&](img::file_entry& file) {
    const auto found = contents.find(file.memfd().inode_id());
    if (file.has_memfd() && found != contents.end()) file.mutable_memfd()->set_inode_id(found->second);
  });
}

// If file `original` is a deleted file, makes `copy` refer to the same one.
void add_ghost(ImageStore& images, uint32_t original, uint32_t copy) {
  for (auto& remap : images.read_all<img::remap_file_path_entry>(image_file::kRemapFpath)) {
    if (remap.orig_id() != original) continue;
    remap.set_orig_id(copy);
    images.append(image_file::kRemapFpath, remap);
    return;
  }
}

// A mapping whose description had other flags than the entry of its file (vma_entry.fdflags) gets an entry of its own.
void split_mapped_files(ImageStore& images) {
  std::map<uint32_t, img::file_entry> files;
  for (auto& file : images.read_all<img::file_entry>(image_file::kFiles)) files[file.id()] = file;
  uint32_t next = files.empty() ? 1 : files.rbegin()->first + 1;
  std::map<std::pair<uint64_t, uint32_t>, uint32_t> made;
  for (const auto& node : images.read_all<img::pstree_entry>(image_file::kPstree)) {
    if (!images.contains(image_file::mm(node.pid()))) continue;
    rewrite<img::mm_entry>(images, image_file::mm(node.pid()), [&](img::mm_entry& mm) {
      for (img::vma_entry& vma : *mm.mutable_vmas()) {
        const auto file = files.find(static_cast<uint32_t>(vma.shmid()));
        const bool mapped = (vma.status() & (vma_status::kFileShared | vma_status::kFilePrivate)) != 0;
        if (!mapped || !vma.has_fdflags() || file == files.end() || !file->second.has_reg()) continue;
        if ((file->second.reg().flags() & O_ACCMODE) == (vma.fdflags() & O_ACCMODE)) continue;
        uint32_t& id = made[{vma.shmid(), vma.fdflags()}];
        if (id == 0) {
          id = next++;
          img::file_entry entry = file->second;
          entry.set_id(id);
          entry.mutable_reg()->set_id(id);
          entry.mutable_reg()->set_flags(vma.fdflags());
          images.append(image_file::kFiles, entry);
          add_ghost(images, file->first, id);
        }
        vma.set_shmid(id);
      }
    });
  }
}

// Adds the clocks, which CRIU stores in a separate file. A zombie has no task entry and needs none.
void add_clocks(ImageStore& images) {
  const auto clocks = images.try_read_one<img::timens_entry>(image_file::timens(0));
  if (!clocks || clocks->monotonic().tv_sec() > kMaxSeconds || clocks->boottime().tv_sec() > kMaxSeconds) return;
  for (const auto& node : images.read_all<img::pstree_entry>(image_file::kPstree)) {
    const std::string name = image_file::crx_task(node.pid());
    if (images.contains(name)) continue;
    img::crx_task_entry entry;
    entry.set_pid(node.pid());
    entry.add_threads()->set_tid(node.pid());
    for (const uint32_t tid : node.threads()) {
      if (tid != node.pid()) entry.add_threads()->set_tid(tid);
    }
    const auto ns = [](const img::timespec& time) {
      return static_cast<int64_t>(time.tv_sec() * kSecond + time.tv_nsec());
    };
    entry.set_monotonic_ns(ns(clocks->monotonic()));
    entry.set_boottime_ns(ns(clocks->boottime()));
    images.append(name, entry);
  }
}

}  // namespace

ImageStore load_images(const ImageSet& set) {
  ImageStore images;
  const DirectorySource& source = set.images();
  for (const std::string& name : source.names()) {
    const bool skipped = name.starts_with("pages-") || name.starts_with("pagemap-") || name.starts_with("stats-") ||
                         name.starts_with("crx-shmem-") || name.starts_with("crx-pagemap-") ||
                         name == image_file::kCrxIntegrity || name == image_file::kCrxSignature;
    if (!skipped) images.insert(name, std::string(source.load(name)));
  }
  const auto inventory = images.read_one<img::inventory_entry>(image_file::kInventory);
  if (inventory.img_version() < 1 || inventory.img_version() > kImageVersion) {
    throw Error(ErrorCode::unsupported, "reading images",
                "image version " + std::to_string(inventory.img_version()) + " is unknown")
        .with_image(source.path() + "/" + std::string(image_file::kInventory))
        .with_hint("use a newer crx, or the tool that made the set");
  }
  if (images.contains(image_file::kFiles)) rewrite<img::file_entry>(images, image_file::kFiles, relax_size);
  if (images.contains(image_file::kFiles)) {
    rewrite<img::file_entry>(images, image_file::kFiles, clear_tmpfile);
    join_memfd_ids(images);
    split_mapped_files(images);
  }
  undo_repeated_sleeps(images);
  repeat_interrupted_calls(images);
  add_ids(images);
  add_clocks(images);
  return images;
}

std::vector<uint64_t> commit_charged_of(const img::crx_task_entry& extra) {
  std::vector<uint64_t> starts;
  for (const img::crx_vma_entry& vma : extra.vmas()) {
    if (std::find(vma.vm_flags().begin(), vma.vm_flags().end(), "ac") != vma.vm_flags().end())
      starts.push_back(vma.start());
  }
  return starts;
}

std::vector<PageRange> guards_of(const img::crx_task_entry& extra) {
  std::vector<PageRange> guards;
  for (const img::crx_vma_entry& vma : extra.vmas()) {
    for (const img::crx_address_range& guard : vma.guards()) {
      if (guard.start() % kPageSize != 0 || guard.end() % kPageSize != 0 || guard.end() <= guard.start()) {
        throw Error(ErrorCode::corrupt_image, "reading images", "a guarded range is malformed");
      }
      guards.push_back({guard.start(), guard.end()});
    }
  }
  return guards;
}

}  // namespace crx
