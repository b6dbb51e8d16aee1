#include "agent-src/collect/ipc/ipc_users.hpp"

#include <fmt/format.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <optional>

#include "agent-src/memory/vma.hpp"
#include "agent-src/tree/process_tree.hpp"
#include "common/base/clock.hpp"
#include "common/base/error.hpp"
#include "common/proc/maps.hpp"
#include "common/proc/proc_dir.hpp"
#include "common/proc/stat.hpp"
#include "common/proc/status.hpp"
#include "common/proc/syscall.hpp"

namespace crx {
namespace {

constexpr int64_t kClockSlackSeconds = 2;
constexpr uint64_t kSyscallInstruction = 0x050f;

// Returns the mappings of System V segments, whose inode numbers are the segments' ids. The attachments of a process
// that has ended meanwhile, or that crx may not look at, count as those of an unknown process.
std::vector<proc::MapsEntry> attached_segments(pid_t pid) {
  const std::optional<ProcDir> process = ProcDir::open(pid);
  auto maps = process ? process->maps() : std::nullopt;
  if (!maps) return {};
  std::erase_if(*maps, [](const proc::MapsEntry& map) { return map.kind != proc::MapKind::sysv_shm; });
  return std::move(*maps);
}

std::optional<proc::Status> status_of(pid_t pid) {
  const std::optional<ProcDir> process = ProcDir::open(pid);
  return process ? process->status() : std::nullopt;
}

std::optional<proc::Stat> stat_of(pid_t pid) {
  const std::optional<ProcDir> process = ProcDir::open(pid);
  return process ? process->stat() : std::nullopt;
}

// Decides whether a process number stored in an object belongs to the tree.
class Witnesses {
 public:
  explicit Witnesses(const std::vector<pid_t>& tree) : tree_(tree.begin(), tree.end()) {
    now_ = clock_ns(CLOCK_REALTIME) / 1'000'000'000;
    uptime_ = clock_ns(CLOCK_BOOTTIME) / 1'000'000'000;
  }

  // when: seconds of CLOCK_REALTIME at which the process acted on the object.
  bool is_in_tree(pid_t pid) const {
    return descends_from(pid, [this](pid_t each) { return tree_.contains(each); });
  }
  bool is_ours(pid_t pid, int64_t when) const { return is_in_tree(process_of(pid)) && lived(pid, when); }
  bool is_other(pid_t pid, int64_t when) const { return pid > 0 && lived(pid, when) && !is_in_tree(process_of(pid)); }
  // Whether a user of the tree made the object after the tree had begun.
  bool may_have_made(const SysvPerm& perm, int64_t when) const {
    return std::any_of(tree_.begin(), tree_.end(),
                       [&](pid_t pid) { return began_by(pid, when) && is_user(pid, perm.cuid); });
  }

 private:
  // A queue stores the thread to which a message was handed (ipc/msg.c, pipelined_send).
  static pid_t process_of(pid_t tid) {
    const std::optional<proc::Status> status = status_of(tid);
    return status ? status->tgid : tid;
  }

  static bool is_user(pid_t pid, uint32_t uid) {
    const std::optional<proc::Status> status = status_of(pid);
    return status && status->uid.effective == uid;
  }

  // Exact to the second in which the object was made: a process that begins later has nothing to do with it.
  static bool began_by(pid_t pid, int64_t when) {
    const std::optional<proc::Stat> stat = stat_of(pid);
    if (!stat) return false;
    const int64_t age_ns =
        clock_ns(CLOCK_BOOTTIME) - static_cast<int64_t>(stat->starttime) * (1'000'000'000 / ::sysconf(_SC_CLK_TCK));
    return (clock_ns(CLOCK_REALTIME) - age_ns) / 1'000'000'000 <= when;
  }

  bool lived(pid_t pid, int64_t when) const {
    const std::optional<proc::Stat> stat = stat_of(pid);
    if (!stat || stat->state == 'Z' || stat->state == 'X') return false;
    const int64_t age = uptime_ - static_cast<int64_t>(stat->starttime) / ::sysconf(_SC_CLK_TCK);
    return now_ - age <= when + kClockSlackSeconds;
  }

  std::set<pid_t> tree_;
  int64_t now_ = 0, uptime_ = 0;
};

class Finder {
 public:
  Finder(const std::vector<pid_t>& tree, const std::vector<SysvWaiter>& waiters)
      : tree_(tree), waiters_(waiters), witnesses_(tree) {}

  SysvUse run() {
    segments();
    for (SysvSet& set : list_sets()) add_set(std::move(set));
    for (SysvQueue& queue : list_queues()) add_queue(std::move(queue));
    return std::move(use_);
  }

 private:
  void segments() {
    std::vector<SysvSegment> all = list_segments();
    if (all.empty()) return;
    struct Attached {
      uint64_t mappings = 0, huge_page_bytes = 0;
    };
    std::map<int, Attached> attached;
    for (const pid_t pid : tree_) {
      for (const proc::MapsEntry& map : attached_segments(pid)) {
        Attached& segment = attached[static_cast<int>(map.inode)];
        if (segment.mappings++ == 0) segment.huge_page_bytes = object_huge_page_bytes(pid, map);
      }
    }
    for (SysvSegment& segment : all) {
      const auto [ours, huge_page_bytes] = attached[segment.perm.id];
      const bool used = ours > 0 || witnesses_.is_ours(segment.creator, segment.changed) ||
                        witnesses_.is_ours(segment.last_user, segment.last_used);
      if (!used) continue;
      if (segment.attached > ours && is_attached_outside(segment, ours)) {
        refuse(SysvKind::segment, segment.perm, attacher(segment.perm.id));
      } else if (witnesses_.is_other(segment.creator, segment.changed)) {
        refuse(SysvKind::segment, segment.perm, segment.creator);
      }
      use_.segments.push_back({std::move(segment), ours > 0, huge_page_bytes});
    }
  }

  void add_set(SysvSet set) {
    const int64_t when = std::max(set.changed, set.last_used);
    bool used = waits(SysvKind::set, set.perm.id);
    std::optional<pid_t> other;
    const std::optional<std::vector<pid_t>> changers = last_changers(set.perm.id, set.count);
    if (!changers) return;  // removed meanwhile
    for (const pid_t pid : *changers) {
      used = used || witnesses_.is_ours(pid, when);
      if (witnesses_.is_other(pid, when)) other = pid;
    }
    if (!used && !(is_untouched(set) && witnesses_.may_have_made(set.perm, set.changed))) return;
    if (other) refuse(SysvKind::set, set.perm, *other);
    use_.sets.push_back(std::move(set));
  }

  void add_queue(SysvQueue queue) {
    const bool used = waits(SysvKind::queue, queue.perm.id) || witnesses_.is_ours(queue.last_sender, queue.last_sent) ||
                      witnesses_.is_ours(queue.last_receiver, queue.last_received);
    if (!used && !(is_untouched(queue) && witnesses_.may_have_made(queue.perm, queue.changed))) return;
    if (witnesses_.is_other(queue.last_sender, queue.last_sent)) {
      refuse(SysvKind::queue, queue.perm, queue.last_sender);
    } else if (witnesses_.is_other(queue.last_receiver, queue.last_received)) {
      refuse(SysvKind::queue, queue.perm, queue.last_receiver);
    }
    use_.queues.push_back(std::move(queue));
  }

  bool waits(SysvKind kind, int id) const {
    return std::any_of(waiters_.begin(), waiters_.end(),
                       [&](const SysvWaiter& w) { return w.kind == kind && w.id == id; });
  }

  // ours: the attachments of the listed processes. The tree may have forked since, and the child may have ended again.
  bool is_attached_outside(const SysvSegment& segment, uint64_t ours) const {
    uint64_t inside = ours;
    for (const pid_t pid : list_processes()) {
      const std::vector<proc::MapsEntry> maps = attached_segments(pid);
      const auto count = std::count_if(maps.begin(), maps.end(),
                                       [&](const auto& map) { return static_cast<int>(map.inode) == segment.perm.id; });
      if (count == 0 || std::find(tree_.begin(), tree_.end(), pid) != tree_.end()) continue;
      if (!witnesses_.is_in_tree(pid)) return true;
      inside += static_cast<uint64_t>(count);
    }
    const std::vector<SysvSegment> now = list_segments();
    const auto same =
        std::find_if(now.begin(), now.end(), [&](const SysvSegment& each) { return each.perm.id == segment.perm.id; });
    return same != now.end() && same->attached > inside;
  }

  // Returns a process outside the tree that has the segment attached; 0 if none is visible from here.
  pid_t attacher(int id) const {
    for (const pid_t pid : list_processes()) {
      if (witnesses_.is_in_tree(pid)) continue;
      const std::vector<proc::MapsEntry> maps = attached_segments(pid);
      if (std::any_of(maps.begin(), maps.end(), [id](const auto& map) { return static_cast<int>(map.inode) == id; }))
        return pid;
    }
    return 0;
  }

  void refuse(SysvKind kind, const SysvPerm& perm, pid_t other) {
    const std::string who =
        other == 0 ? "a process that cannot be seen from here" : fmt::format("process {} ({})", other, comm_of(other));
    use_.refusals.push_back({fmt::format("{} {} (key {:#x})", to_string(kind), perm.id, perm.key),
                             fmt::format("is also used outside, by {}", who), "end that process, or move it along"});
  }

  const std::vector<pid_t>& tree_;
  const std::vector<SysvWaiter>& waiters_;
  Witnesses witnesses_;
  SysvUse use_;
};

void add_waiter(int64_t nr, uint64_t id, std::vector<SysvWaiter>& waiters) {
  if (nr == SYS_semop || nr == SYS_semtimedop) waiters.push_back({SysvKind::set, static_cast<int>(id)});
  if (nr == SYS_msgsnd || nr == SYS_msgrcv) waiters.push_back({SysvKind::queue, static_cast<int>(id)});
}

// A call that the stop has interrupted is about to be made again: the system call instruction is the next one.
bool is_about_to_call(pid_t pid, uint64_t ip) {
  uint16_t instruction = 0;
  const iovec local{&instruction, sizeof instruction};
  const iovec remote{reinterpret_cast<void*>(ip), sizeof instruction};
  return ::process_vm_readv(pid, &local, 1, &remote, 1, 0) == sizeof instruction && instruction == kSyscallInstruction;
}

}  // namespace

SysvUse find_sysv_use(const std::vector<pid_t>& tree, const std::vector<SysvWaiter>& waiters) {
  return Finder(tree, waiters).run();
}

std::vector<SysvWaiter> running_waiters(const std::vector<pid_t>& tree) {
  std::vector<SysvWaiter> waiters;
  for (const pid_t pid : tree) {
    const std::optional<ProcDir> process = ProcDir::open(pid);
    const auto threads = process ? process->threads() : std::nullopt;
    for (const pid_t tid : threads.value_or(std::vector<pid_t>())) {
      const std::optional<proc::BlockedSyscall> call = process->blocked_syscall(tid);
      if (call) add_waiter(call->nr, call->args[0], waiters);
    }
  }
  return waiters;
}

std::vector<SysvWaiter> stopped_waiters(const FrozenTree& tree) {
  std::vector<SysvWaiter> waiters;
  for (const auto& task : tree.tasks()) {
    for (const FrozenThread& thread : task->threads()) {
      const auto inside = static_cast<int64_t>(thread.regs.orig_rax);
      if (inside >= 0) {
        add_waiter(inside, thread.regs.rdi, waiters);
      } else if (is_about_to_call(task->pid(), thread.regs.rip)) {
        add_waiter(static_cast<int64_t>(thread.regs.rax), thread.regs.rdi, waiters);
      }
    }
  }
  return waiters;
}

}  // namespace crx
