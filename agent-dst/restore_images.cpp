#include "agent-dst/restore_images.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>
#include <iterator>
#include <string>

#include "common/base/error.hpp"
#include "common/image/core.pb.h"
#include "common/image/files.pb.h"
#include "common/image/inventory.pb.h"
#include "common/image/magic.hpp"
#include "common/image/namespaces.pb.h"

namespace crx {
namespace {

constexpr int64_t kInterrupted = -4;      // -EINTR
constexpr int64_t kRestartBlock = -516;  // -ERESTART_RESTARTBLOCK
constexpr uint64_t kSyscallInstructionBytes = 2;
constexpr uint64_t kSecond = 1'000'000'000;
constexpr uint64_t kMaxSeconds = uint64_t{1} << 32;

// The program, or another revival of it, has written to the file since.
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

// What dump_images.cpp changed for others.
void undo_repeated_sleeps(ImageStore& images) {
  for (const auto& node : images.read_all<img::pstree_entry>(image_file::kPstree)) {
    const auto extra = images.try_read_one<img::crx_task_entry>(image_file::crx_task(node.pid()));
    if (!extra) continue;
    for (const img::crx_thread_entry& thread : extra->threads()) {
      const std::string core = image_file::core(thread.tid());
      if (!thread.has_restart() || static_cast<int64_t>(thread.restart().ax()) != kRestartBlock) continue;
      rewrite<img::core_entry>(images, core, [&](img::core_entry& entry) {
        img::user_x86_regs_entry& regs = *entry.mutable_thread_info()->mutable_gpregs();
        regs.set_ax(static_cast<uint64_t>(kInterrupted));
        regs.set_ip(regs.ip() + kSyscallInstructionBytes);
      });
    }
  }
}

// In a set made by CRIU a call that the freeze interrupted has returned -EINTR. Where no signal waits the program would see
// that for no reason: the call is made again.
void repeat_interrupted_call(img::core_entry& core) {
  img::user_x86_regs_entry& regs = *core.mutable_thread_info()->mutable_gpregs();
  const bool signalled = core.thread_core().signals_p().signals_size() + core.tc().signals_s().signals_size() > 0;
  constexpr uint64_t kCalls[] = {SYS_nanosleep, SYS_clock_nanosleep, SYS_poll,  SYS_ppoll,       SYS_select,
                                 SYS_pselect6,  SYS_epoll_wait,      SYS_futex, SYS_epoll_pwait, SYS_rt_sigtimedwait,
                                 SYS_semtimedop};
  const bool known = std::find(std::begin(kCalls), std::end(kCalls), regs.orig_ax()) != std::end(kCalls);
  if (signalled || !known || static_cast<int64_t>(regs.ax()) != kInterrupted) return;
  regs.set_ax(regs.orig_ax());
  regs.set_ip(regs.ip() - kSyscallInstructionBytes);
}

void repeat_interrupted_calls(ImageStore& images) {
  for (const auto& node : images.read_all<img::pstree_entry>(image_file::kPstree)) {
    if (images.contains(image_file::crx_task(node.pid()))) continue;
    for (const uint32_t tid : node.threads()) {
      if (images.contains(image_file::core(tid))) rewrite<img::core_entry>(images, image_file::core(tid), repeat_interrupted_call);
    }
  }
}

// CRIU keeps the ids of shared objects in a file of their own.
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

// The clocks that CRIU keeps in a file of their own. A zombie has no task entry, and needs none.
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
    const auto ns = [](const img::timespec& time) { return static_cast<int64_t>(time.tv_sec() * kSecond + time.tv_nsec()); };
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
                         name == image_file::kCrxIntegrity;
    if (!skipped) images.insert(name, std::string(source.load(name)));
  }
  const auto inventory = images.read_one<img::inventory_entry>(image_file::kInventory);
  if (inventory.img_version() < 1 || inventory.img_version() > kImageVersion) {
    throw Error(ErrorCode::unsupported, "reading images",
                source.path() + "/inventory.img: image version " + std::to_string(inventory.img_version()) + " is unknown");
  }
  if (images.contains(image_file::kFiles)) rewrite<img::file_entry>(images, image_file::kFiles, relax_size);
  undo_repeated_sleeps(images);
  repeat_interrupted_calls(images);
  add_ids(images);
  add_clocks(images);
  return images;
}

std::vector<uint64_t> accounted_of(const img::crx_task_entry& extra) {
  std::vector<uint64_t> starts;
  for (const img::crx_vma_entry& vma : extra.vmas()) {
    if (std::find(vma.vm_flags().begin(), vma.vm_flags().end(), "ac") != vma.vm_flags().end()) starts.push_back(vma.start());
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
