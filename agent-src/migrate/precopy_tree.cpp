#include "agent-src/migrate/precopy_tree.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "agent-src/collect/memory/aio_rings.hpp"
#include "agent-src/collect/memory/memfd.hpp"
#include "agent-src/freeze/tracking_start.hpp"
#include "common/base/clock.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/image/magic.hpp"
#include "common/image/schema/core.pb.h"
#include "common/kernel/memory/pagemap.hpp"

namespace crx {
namespace {

constexpr int64_t kYoungNs = 50'000'000;
constexpr int kReadings = 20;

// Returns whether the task was born a moment ago.
bool is_young(const TaskNode& task) {
  const int64_t age =
      clock_ns(CLOCK_BOOTTIME) - static_cast<int64_t>(task.start_ticks) * (1'000'000'000 / ::sysconf(_SC_CLK_TCK));
  return age < kYoungNs;
}

// Returns whether the task has SA_NOCLDWAIT, so that its children leave no zombies. The image has the actions of all
// signals but SIGKILL and SIGSTOP.
bool keeps_no_zombies(const img::core_entry& core) {
  constexpr int kAt = SIGCHLD - (SIGCHLD > SIGKILL ? 1 : 0) - (SIGCHLD > SIGSTOP ? 1 : 0) - 1;
  return core.tc().sigactions_size() > kAt && (core.tc().sigactions(kAt).flags() & SA_NOCLDWAIT) != 0;
}

bool is_gone(const Error& error) {
  return error.code() == ErrorCode::victim_gone;
}

}  // namespace

PrecopyTree::PrecopyTree(pid_t root, FileTable& files, TrackerKind tracker, int64_t freeze_timeout_ms,
                         KernelView& kernel)
    : root_(root),
      files_(files),
      wanted_(tracker),
      tracker_(choose_tracker(tracker)),
      freeze_timeout_ms_(freeze_timeout_ms),
      kernel_(kernel) {}

std::vector<pid_t> PrecopyTree::pids() const {
  std::vector<pid_t> living;
  for (const PrecopyTask& task : tasks_) {
    if (!task.node.dead) living.push_back(task.node.pid);
  }
  return living;
}

void PrecopyTree::forget(PrecopyTask& task) {
  if (task.tracked) rounds_.remove_space(task.node.pid);
  task.tracked = false;
  task.replaced = true;
  task.last_layout.clear();
}

PrecopyTask& PrecopyTree::at(pid_t pid) {
  for (PrecopyTask& task : tasks_) {
    if (task.node.pid == pid) return task;
  }
  throw Error(ErrorCode::bug, "following the tree", "a process is not in it").with_pid(pid);
}

void PrecopyTree::take_over(std::vector<TaskNode> now, bool stopped) {
  std::set<pid_t> passed;
  std::erase_if(now, [&](const TaskNode& t) {
    const bool pass =
        !stopped && t.pid != root_ && (t.shares_memory() || passed.contains(t.ppid) || passed.contains(t.cloner));
    if (pass) passed.insert(t.pid);
    return pass;
  });
  std::vector<PrecopyTask> tasks;
  std::set<pid_t> replaced;
  for (TaskNode& place : now) {
    const auto old =
        std::find_if(tasks_.begin(), tasks_.end(), [&](const PrecopyTask& t) { return t.node.pid == place.pid; });
    PrecopyTask& task = tasks.emplace_back();
    if (old != tasks_.end()) {
      // For a task without a vessel no memory has been sent, so a new place above it changes nothing.
      const bool same = old->node.same_place(place) &&
                        (old->replaced || (!replaced.contains(place.ppid) && !replaced.contains(place.cloner)));
      if (!same) forget(*old);
      task = std::move(*old);
      old->tracked = false;
      old->node.pid = 0;
    }
    task.node = std::move(place);
    if (task.replaced) replaced.insert(task.node.pid);
    if (task.node.dead) {
      task.map.reset();
    } else if (task.map == nullptr) {
      task.map = std::make_unique<MemoryMap>(task.node.pid, files_);
    }
  }
  for (PrecopyTask& gone : tasks_) forget(gone);
  tasks_ = std::move(tasks);
}

bool PrecopyTree::is_listed(pid_t pid) const {
  return std::any_of(tasks_.begin(), tasks_.end(), [pid](const PrecopyTask& t) { return t.node.pid == pid; });
}

void PrecopyTree::look(const TreeSnapshot& tree) {
  std::vector<TaskNode> now = tree.tasks;
  if (churn_.look(tree)) rounds_.objects().ignore_marks();
  std::set<pid_t> passed, followed = {root_};
  std::erase_if(now, [&](const TaskNode& t) {
    if (t.pid == root_) return false;
    // A process that was reparented while the tree was listed may precede its parent; it is left to the next look.
    const bool pass = !followed.contains(t.ppid) || passed.contains(t.cloner) || (!is_listed(t.pid) && is_young(t));
    if (!pass) {
      followed.insert(t.pid);
      return false;
    }
    passed.insert(t.pid);
    churn_.forget(t.pid);
    return true;
  });
  take_over(std::move(now), false);
}

void PrecopyTree::drop(pid_t pid) {
  if (pid == root_) throw_gone(root_, "following the tree");
  std::set<pid_t> dropped = {pid};
  std::erase_if(tasks_, [&](PrecopyTask& task) {
    const TaskNode& place = task.node;
    if (!dropped.contains(place.pid) && !dropped.contains(place.ppid) && !dropped.contains(place.cloner)) return false;
    dropped.insert(task.node.pid);
    churn_.forget(task.node.pid);
    forget(task);
    return true;
  });
}

void PrecopyTree::track(PrecopyTask& task) {
  const pid_t pid = task.node.pid;
  const auto make_userfaultfd = [&] {
    TrackingStart start = start_tracking(pid, call_sites_.of(pid), WriteProtectFd::create_flags(), has_seccomp(pid),
                                         Deadline::in_ms(freeze_timeout_ms_), kernel_);
    longest_stop_us_ = std::max(longest_stop_us_, start.stop_us);
    log::debug("tracking of process {} started, it was stopped for {} us", pid, start.stop_us);
    return std::move(start.userfaultfd);
  };
  // Asynchronous I/O writes to memory without marking it in the page tables, so its content has to be compared.
  const bool has_rings = !list_aio_rings(pid).empty();
  auto tracker = make_tracker(has_rings ? TrackerKind::hash : wanted_, pid, make_userfaultfd);
  tracker_ = tracker->kind();
  rounds_.add_space(pid, std::move(tracker));
  task.tracked = true;
}

void PrecopyTree::follow(const TreeSnapshot& tree) {
  look(tree);
  for (PrecopyTask& task : tasks_) {
    if (task.tracked || task.node.dead) continue;
    try {
      track(task);
    } catch (const Error& error) {
      if (!is_gone(error) || task.node.pid == root_) throw;
    }
  }
}

void PrecopyTree::follow(const FrozenTree& tree) {
  if (churn_.look(tree.snapshot())) rounds_.objects().ignore_marks();
  take_over(tree.members(), true);
  prune();
  for (PrecopyTask& task : tasks_) {
    if (task.tracked || task.node.dead || task.node.shares_memory()) continue;
    rounds_.add_space(task.node.pid, make_tracker(TrackerKind::hash, task.node.pid, [] { return Fd(); }));
    task.tracked = true;
  }
}

void PrecopyTree::learn(const ImageStore& images) {
  if (!churn_.births() || !rounds_.objects().trusts_marks()) return;
  for (const pid_t pid : pids()) {
    if (keeps_no_zombies(images.read_one<img::core_entry>(image_file::core(static_cast<uint32_t>(pid))))) {
      rounds_.objects().ignore_marks();
      return;
    }
  }
}

// Reads the mappings and describes their files. A mapping may be gone before its file is read; then everything is read
// again.
void PrecopyTree::read_map(PrecopyTask& task) {
  for (int turn = 0;; ++turn) {
    try {
      task.map->read();
      if (!task.map->flags_are_current()) task.map->read_flags();
      task.map->describe();
      return;
    } catch (const Error& error) {
      if (is_gone(error) || turn == kReadings) throw;
    }
  }
}

// Reads the mappings of all tasks while the tree runs. A task that cannot be described is left to the next round or to
// the stop, in which every task must be described.
void PrecopyTree::read_maps() {
  std::vector<pid_t> gone;
  for (PrecopyTask& task : tasks_) {
    if (task.node.dead) continue;
    try {
      if (!task.tracked) throw_gone(task.node.pid, "tracking memory");
      read_map(task);
      task.open_memfds.clear();
      for (OpenMemfd& memfd : open_memfds(task.node.pid)) {
        task.open_memfds.push_back(std::move(memfd.inode));
        rounds_.objects().offer(std::move(memfd.fd));
      }
    } catch (const Error& error) {
      if (task.node.pid == root_) throw;
      log::debug("process {} changes while it is described: {}", task.node.pid, error.what());
      gone.push_back(task.node.pid);
    }
  }
  for (const pid_t pid : gone) drop(pid);
}

// Forgets everything about address spaces that have ended. Returns whether there was one.
bool PrecopyTree::prune() {
  bool found = false;
  std::set<pid_t> replaced;
  for (PrecopyTask& task : tasks_) {
    const bool below = !task.replaced && replaced.contains(task.node.ppid);
    if (task.tracked && (below || rounds_.space(task.node.pid).tracker().pagemap().ended())) {
      forget(task);
      found = true;
    }
    if (task.replaced) replaced.insert(task.node.pid);
  }
  return found;
}

std::vector<SpaceVmas> PrecopyTree::spaces() const {
  std::vector<SpaceVmas> all;
  for (const PrecopyTask& task : tasks_) {
    if (task.tracked) all.push_back({task.node.pid, task.map->vmas()});
  }
  return all;
}

// A task that execs or ends in the meantime is left to the next round. As long as the root does not exec, the list only
// becomes shorter in the loop, so the loop ends. Pages that were re-armed before a failure still have to be sent.
MemoryStatistics PrecopyTree::begin_round() {
  follow(list_tree(root_));
  read_maps();
  for (;;) {
    try {
      return rounds_.begin_round(spaces());
    } catch (const Error& error) {
      if (!is_gone(error)) throw;
      log::debug("the tree changes in the middle of a round: {}", error.what());
      std::vector<pid_t> gone;
      for (const PrecopyTask& task : tasks_) {
        if (task.tracked && rounds_.space(task.node.pid).tracker().pagemap().ended()) gone.push_back(task.node.pid);
      }
      if (gone.empty()) throw;
      if (gone.front() == root_) {
        // The root runs another program now, so the round begins anew.
        prune();
        follow(list_tree(root_));
        read_maps();
        continue;
      }
      for (const pid_t pid : gone) drop(pid);
    }
  }
}

FinalMemory PrecopyTree::final_scan(MemoryStatistics& statistics) {
  return rounds_.final_scan(spaces(), statistics);
}

}  // namespace crx
