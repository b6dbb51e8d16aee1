#include "agent-src/collect/ipc/sysv_ipc.hpp"

#include <fmt/format.h>
#include <linux/kcmp.h>
#include <linux/sched.h>
#include <mqueue.h>
#include <sys/prctl.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <map>
#include <optional>
#include <set>

#include "agent-src/collect/ipc/ipc_users.hpp"
#include "agent-src/collect/kind/registry.hpp"
#include "agent-src/collect/kind/tree_members.hpp"
#include "agent-src/memory/vma.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/base/scope_exit.hpp"
#include "common/image/magic.hpp"
#include "common/image/schema/crx_ipc.pb.h"
#include "common/kernel/process/child_process.hpp"
#include "common/proc/maps.hpp"

namespace crx {
namespace {

constexpr char kSysvIpcStep[] = "collecting System V objects";
constexpr uint32_t kDestroyed = 01000;  // SHM_DEST
constexpr uint64_t kUnmappedLimit = uint64_t{64} << 20;
constexpr std::size_t kMostUndoable = 8192;

img::ipc_desc_entry describe(const SysvPerm& perm) {
  img::ipc_desc_entry desc;
  desc.set_key(perm.key);
  desc.set_uid(perm.uid);
  desc.set_gid(perm.gid);
  desc.set_cuid(perm.cuid);
  desc.set_cgid(perm.cgid);
  desc.set_mode(perm.mode);
  desc.set_id(static_cast<uint32_t>(perm.id));
  return desc;
}

// A process without an undo list, to compare with: a newly forked one.
class WithoutUndo {
 public:
  WithoutUndo() : child_(ChildProcess::try_fork_idle({.parent_death_signal = SIGKILL})) {
    if (!child_) throw_errno(kSysvIpcStep, "fork");
  }

  bool is_like(pid_t pid) const { return ::syscall(SYS_kcmp, pid, child_->pid(), KCMP_SYSVSEM, 0, 0) == 0; }

 private:
  std::optional<ChildProcess> child_;
};

// The adjustments of SEM_UNDO can be read only by making them happen: the task leaves its undo list, which changes the
// semaphores, and at once makes a new list with the same adjustments.
class UndoReader {
 public:
  UndoReader(FrozenTask& task, const std::vector<SysvSet>& sets) : task_(task), sets_(sets) {}

  std::vector<img::crx_sem_undo> read() {
    std::vector<img::crx_sem_undo> undos;
    const ArenaScope scratch(task_.arena());
    RemoteBatch look(task_.arena(), 2 * sets_.size() + 1);
    std::vector<Values> before, after;
    for (const SysvSet& set : sets_) before.push_back(plan_read(set, look));
    look.add("leaving the undo list", SYS_unshare, CLONE_SYSVSEM);
    for (const SysvSet& set : sets_) after.push_back(plan_read(set, look));
    task_.remote(0).run(look);
    for (std::size_t i = 0; i < sets_.size(); ++i) {
      for (uint32_t n = 0; n < sets_[i].count; ++n) {
        const int adjustment = int{after[i].local[n]} - int{before[i].local[n]};
        if (adjustment == 0) continue;
        img::crx_sem_undo& undo = undos.emplace_back();
        undo.set_pid(static_cast<uint32_t>(task_.pid()));
        undo.set_set(static_cast<uint32_t>(sets_[i].perm.id));
        undo.set_number(n);
        undo.set_adjustment(adjustment);
      }
    }
    note_again(undos);
    look.check_all();
    return undos;
  }

 private:
  using Values = ArenaPiece<uint16_t>;

  Values plan_read(const SysvSet& set, RemoteBatch& batch) {
    const Values values = task_.arena().allocate<uint16_t>(set.count);
    batch.add("reading semaphores", SYS_semctl, set.perm.id, 0, GETALL, values.remote);
    return values;
  }

  void note_again(const std::vector<img::crx_sem_undo>& undos) {
    if (undos.empty()) return;
    RemoteBatch batch(task_.arena(), undos.size());
    for (const img::crx_sem_undo& undo : undos) {
      const sembuf change{static_cast<unsigned short>(undo.number()), static_cast<short>(-undo.adjustment()),
                          SEM_UNDO | IPC_NOWAIT};
      batch.add("noting an undo", SYS_semop, undo.set(), task_.arena().put_object(change), 1);
    }
    task_.remote(0).run(batch);
    batch.check_all();
  }

  FrozenTask& task_;
  const std::vector<SysvSet>& sets_;
};

class SysvIpc final : public Collector {
 public:
  const char* name() const override { return "System V IPC"; }

  void inspect_tree(InspectContext& context) override {
    const std::vector<pid_t> tree = tree_members_of(context);
    SysvUse use = find_sysv_use(tree, running_waiters(tree));
    for (Refusal& refusal : use.refusals) context.refusals.push_back(std::move(refusal));
    for (const SysvUse::Segment& segment : use.segments) {
      if (!segment.mapped && segment.status.size > kUnmappedLimit)
        context.refusals.push_back(unattached(segment.status));
    }
  }

  void collect_tree(CollectContext& context) override {
    const SysvUse use = find_sysv_use(tree_members_of(context), stopped_waiters(context.tree));
    for (const Refusal& refusal : use.refusals) {
      throw Error(ErrorCode::refused, kSysvIpcStep, refusal.object + ": " + refusal.reason).with_hint(refusal.remedy);
    }
    const uint32_t ns = context.core().ids().ipc_ns_id();
    for (const SysvUse::Segment& segment : use.segments)
      add_segment(segment, image_file::ipc_segments(ns), context.images);
    for (const SysvSet& set : use.sets) add_set(set, image_file::ipc_sets(ns), context.images);
    for (const SysvQueue& queue : use.queues) add_queue(queue, image_file::ipc_queues(ns), context.images);
    if (!use.sets.empty()) add_undos(use.sets, context.tree, context.images);
  }

 private:
  static Refusal unattached(const SysvSegment& status) {
    return {fmt::format("{} {} of {} bytes", to_string(SysvKind::segment), status.perm.id, status.size),
            "is attached by nobody", "keep it attached, so that its content can travel ahead"};
  }

  // For a segment that we have attached ourselves.
  static uint64_t huge_page_bytes_at(const void* at) {
    const auto start = reinterpret_cast<uint64_t>(at);
    for (const proc::MapsEntry& map : proc::parse_maps(read_file("/proc/self/maps"))) {
      if (map.start == start) return object_huge_page_bytes(::getpid(), map);
    }
    return 0;
  }

  static void add_segment(const SysvUse::Segment& segment, const std::string& image, ImageSink& images) {
    const SysvSegment& status = segment.status;
    if (segment.mapped) {
      img::ipc_shm_entry entry = describe_segment(status, segment.huge_page_bytes);
      entry.set_in_pagemaps(true);
      images.append(image, entry);
      return;
    }
    if (status.size > kUnmappedLimit) {
      const Refusal refusal = unattached(status);
      throw Error(ErrorCode::refused, kSysvIpcStep, refusal.object + " " + refusal.reason).with_hint(refusal.remedy);
    }
    const void* at = ::shmat(status.perm.id, nullptr, SHM_RDONLY);
    if (at == reinterpret_cast<void*>(-1)) throw_errno(kSysvIpcStep, fmt::format("segment {}", status.perm.id));
    const ScopeExit detach([&] { ::shmdt(at); });
    img::ipc_shm_entry entry = describe_segment(status, huge_page_bytes_at(at));
    entry.set_in_pagemaps(false);
    images.append(image, entry);
    images.append_padded(image, {static_cast<const std::byte*>(at), status.size}, 4);
  }

  static void add_set(const SysvSet& set, const std::string& image, ImageSink& images) {
    const std::vector<uint16_t> values = read_set(set.perm.id, set.count);
    img::ipc_sem_entry entry;
    *entry.mutable_desc() = describe(set.perm);
    entry.set_nsems(set.count);
    images.append(image, entry);
    images.append_padded(image, std::as_bytes(std::span(values)), 8);
  }

  static void add_queue(const SysvQueue& queue, const std::string& image, ImageSink& images) {
    const std::vector<SysvMessage> messages = peek_queue(queue.perm.id, queue.messages);
    img::ipc_msg_entry entry;
    *entry.mutable_desc() = describe(queue.perm);
    entry.set_qbytes(queue.max_bytes);
    entry.set_qnum(static_cast<uint32_t>(messages.size()));
    images.append(image, entry);
    for (const SysvMessage& message : messages) {
      img::ipc_msg head;
      head.set_mtype(static_cast<uint64_t>(message.type));
      head.set_msize(static_cast<uint32_t>(message.text.size()));
      images.append(image, head);
      images.append_padded(image, std::as_bytes(std::span(message.text)), 8);
    }
  }

  static void add_undos(const std::vector<SysvSet>& sets, const FrozenTree& tree, ImageSink& images) {
    std::size_t total = 0;
    for (const SysvSet& set : sets) total += set.count;
    const WithoutUndo unused;
    for (const auto& task : tree.tasks()) {
      if (unused.is_like(task->pid())) continue;
      if (task->threads().size() > 1 || total > kMostUndoable) {
        log::debug("task {}: its threads share an undo list, which cannot be read", task->pid());
        continue;
      }
      for (const img::crx_sem_undo& undo : UndoReader(*task, sets).read()) {
        img::crx_ipc_entry entry;
        *entry.mutable_undo() = undo;
        images.append(image_file::kCrxIpc, entry);
      }
    }
  }
};

}  // namespace

img::ipc_shm_entry describe_segment(const SysvSegment& segment, uint64_t huge_page_bytes) {
  img::ipc_shm_entry entry;
  *entry.mutable_desc() = describe(segment.perm);
  entry.set_size(segment.size);
  if (huge_page_bytes != 0) entry.set_hugetlb_flag(SHM_HUGETLB | huge_size_flag(huge_page_bytes));
  return entry;
}

IpcLeftovers::IpcLeftovers(const ImageSource& images, const std::vector<SysvWaiter>& waiters) {
  for (const SysvWaiter& waiter : waiters) awaited_.emplace(waiter.kind, waiter.id);
  for (const std::string& name : images.names()) {
    if (name.starts_with("ipcns-shm-")) {
      ImageReader image = images.reader(name);
      for (img::ipc_shm_entry entry; image.next(entry);) {
        if (!entry.in_pagemaps()) image.raw_padded(entry.size(), 4);
        if ((entry.desc().mode() & kDestroyed) == 0)
          objects_.emplace_back(SysvKind::segment, static_cast<int>(entry.desc().id()));
      }
    } else if (name.starts_with("ipcns-sem-")) {
      ImageReader image = images.reader(name);
      for (img::ipc_sem_entry entry; image.next(entry);) {
        image.raw_padded(entry.nsems() * sizeof(uint16_t), 8);
        objects_.emplace_back(SysvKind::set, static_cast<int>(entry.desc().id()));
      }
    } else if (name.starts_with("ipcns-msg-")) {
      ImageReader image = images.reader(name);
      for (img::ipc_msg_entry entry; image.next(entry);) {
        objects_.emplace_back(SysvKind::queue, static_cast<int>(entry.desc().id()));
        for (uint32_t i = 0; i < entry.qnum(); ++i) image.raw_padded(image.expect<img::ipc_msg>().msize(), 8);
      }
    }
  }
  for (const auto& entry : images.read_all<img::crx_ipc_entry>(image_file::kCrxIpc)) {
    if (entry.has_mqueue() && !entry.mqueue().unlinked()) queues_.push_back(entry.mqueue().name());
  }
}

void IpcLeftovers::remove() noexcept {
  std::set<std::pair<SysvKind, int>> doubtful;
  try {
    for (const SysvSet& set : list_sets()) {
      if (is_untouched(set) && !awaited_.contains({SysvKind::set, set.perm.id}))
        doubtful.emplace(SysvKind::set, set.perm.id);
    }
    for (const SysvQueue& queue : list_queues()) {
      if (is_untouched(queue) && !awaited_.contains({SysvKind::queue, queue.perm.id}))
        doubtful.emplace(SysvKind::queue, queue.perm.id);
    }
  } catch (const Error& error) {
    log::debug("cannot tell which System V objects are still unused: {}", error.what());
  }
  for (const auto& object : objects_) {
    if (!doubtful.contains(object)) remove_sysv(object.first, object.second);
  }
  for (const std::string& name : queues_) static_cast<void>(::mq_unlink(name.c_str()));
  objects_.clear();
  queues_.clear();
}

CollectorPtr make_sysv_ipc_collector() {
  return std::make_unique<SysvIpc>();
}

}  // namespace crx
