// The tree during the rounds: its processes, their mappings, and the trackers of their memory.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "agent-src/collect/kind/file_table.hpp"
#include "agent-src/collect/memory/memory_map.hpp"
#include "agent-src/freeze/frozen_tree.hpp"
#include "agent-src/memory/memory_rounds.hpp"
#include "agent-src/tree/process_churn.hpp"
#include "agent-src/tree/process_tree.hpp"
#include "common/image/image_store.hpp"
#include "common/image/schema/files.pb.h"

namespace crx {

// A process of the tree, as the rounds know it.
struct PrecopyTask {
  TaskNode node;
  std::unique_ptr<MemoryMap> map;                   // nullptr for a zombie
  std::vector<img::memfd_inode_entry> open_memfds;  // memfds that may have no mapping
  std::string last_layout;                          // the layout that the destination has
  bool tracked = false;                             // the task has a space in the rounds
  // The destination has no vessel for this task as it is now: its vessel, if there is one, belongs to another process,
  // an earlier program or an earlier place. The same then applies to all tasks below it.
  bool replaced = true;
  pid_t memory_donor = 0;  // the task whose memory its vessel starts with, see SendOrder
};

// Processes are born, end, exec and change their parents while the tree runs. follow() detects this, and memory that
// was sent for a task which has changed in one of these ways no longer counts as sent. Single-threaded.
class PrecopyTree {
 public:
  PrecopyTree(pid_t root, FileTable& files, TrackerKind tracker, int64_t freeze_timeout_ms, KernelView& kernel);

  // Updates the list of tasks from a listing of /proc. Does not stop or track any process.
  void look(const TreeSnapshot& tree);
  // Calls look(), and then starts a tracker for every task that has none; each of these is stopped once, for less than
  // a millisecond, and runs on. Throws Error(victim_gone) if the root has ended.
  void follow(const TreeSnapshot& tree);
  // Does the same for a stopped tree. The memory of tasks that are new in it is sent in full.
  void follow(const FrozenTree& tree);
  // Learns from the collected state of the stopped tree which tasks may have had children that ended unseen
  // (SA_NOCLDWAIT).
  void learn(const ImageStore& images);

  // Returns the tasks, parents before their children, with zombies. While the tree runs, some are not listed: processes
  // that use their parent's memory (most are children of vfork, which exec soon) and those below them; and processes
  // that were born a moment ago, most of which end before tracking them would pay off. The list is valid until the next
  // call that changes it.
  std::vector<PrecopyTask>& tasks() noexcept { return tasks_; }
  const std::vector<PrecopyTask>& tasks() const noexcept { return tasks_; }
  PrecopyTask& root() noexcept { return tasks_.front(); }
  // Throws Error(bug) if no task with this PID is listed.
  PrecopyTask& at(pid_t pid);
  std::vector<pid_t> pids() const;  // excludes zombies

  // Begins a round: follows the tree, reads all mappings, finds the pages that were written, and re-arms them. Throws
  // Error(victim_gone) if the root has ended.
  MemoryStatistics begin_round();
  // Removes a process that has ended since the round began, and the tasks below it, which return in the next round.
  // Throws Error(victim_gone) for the root.
  void drop(pid_t pid);
  // Scans for the last time. The tree must be stopped, and its mappings must have been read.
  FinalMemory final_scan(MemoryStatistics& statistics);
  MemoryRounds& rounds() noexcept { return rounds_; }
  CallSites& call_sites() noexcept { return call_sites_; }

  // Returns the kind of tracker in use, or, before follow() was called, the one that this kernel offers.
  TrackerKind tracker() const noexcept { return tracker_; }
  int64_t longest_stop_us() const noexcept { return longest_stop_us_; }  // the longest stop of a task to start tracking

 private:
  void take_over(std::vector<TaskNode> now, bool stopped);
  bool is_listed(pid_t pid) const;
  void track(PrecopyTask& task);
  void forget(PrecopyTask& task);
  void read_map(PrecopyTask& task);
  void read_maps();
  bool prune();
  std::vector<SpaceVmas> spaces() const;

  pid_t root_;
  FileTable& files_;
  TrackerKind wanted_, tracker_;
  int64_t freeze_timeout_ms_, longest_stop_us_ = 0;
  std::vector<PrecopyTask> tasks_;
  MemoryRounds rounds_;
  ProcessChurn churn_;
  CallSites call_sites_;
  KernelView& kernel_;
};

}  // namespace crx
