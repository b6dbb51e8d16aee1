// The tree from round to round: its processes, their mappings, and the trackers of their memory.
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

// A process of the tree as the rounds know it.
struct PrecopyTask {
  TaskNode place;
  std::unique_ptr<MemoryMap> map;                   // none of a zombie
  std::vector<img::memfd_inode_entry> open_memfds;  // those that no mapping may lead to
  std::string last_layout;                          // as the destination knows it
  bool tracked = false;                             // has a space in the rounds
  // Its vessel, if the destination has one, is of the past: it is another process, runs another program or has another
  // place. So are those below it then.
  bool replaced = true;
  pid_t memory_donor = 0;  // whose memory its vessel starts with, see SendOrder
};

// Processes come, go, exec and change their parents while the tree runs; follow() finds out, and what was sent for a
// task that is not what it was counts for nothing. Single-threaded.
class PrecopyTree {
 public:
  PrecopyTree(pid_t root, FileTable& files, TrackerKind tracker, int64_t freeze_timeout_ms, KernelView& kernel);

  // Brings the list of tasks up to date; nothing is stopped or tracked. Throws Error(victim_gone) when the root has
  // ended.
  void look();
  // look(), then a tracker for every task that has none: each is stopped once, for less than a millisecond.
  void follow();
  // The same for a tree that is stopped: what is new in it is sent whole.
  void follow(const FrozenTree& tree);
  // What has been collected of the stopped tree tells whose children may have ended unseen (SA_NOCLDWAIT).
  void learn(const ImageStore& images);

  // Parents before their children, zombies too. While the tree runs, not listed are processes that have their parent's
  // memory (most of them are children of vfork, which exec soon) with those below them, and those that have only just
  // begun: most of them end before it would have been worth to look at them.
  std::vector<PrecopyTask>& tasks() noexcept { return tasks_; }
  const std::vector<PrecopyTask>& tasks() const noexcept { return tasks_; }
  PrecopyTask& root() noexcept { return tasks_.front(); }
  std::vector<pid_t> pids() const;  // of the living
  // Whose address space the task lives in: its own, or that of somebody above it.
  PrecopyTask& memory_owner(PrecopyTask& task);

  // A round: follows the tree, reads all mappings, finds what was written and re-arms it.
  MemoryStatistics begin_round();
  // The process has ended since the round began: it counts no more, nor do those below it until the next round.
  void drop(pid_t pid);
  // The last one, of a stopped tree whose mappings have been read.
  FinalMemory final_scan(MemoryStatistics& statistics);
  MemoryRounds& rounds() noexcept { return rounds_; }
  CallSites& call_sites() noexcept { return call_sites_; }

  TrackerKind tracker() const noexcept { return tracker_; }              // in use once follow() was called
  int64_t longest_stop_us() const noexcept { return longest_stop_us_; }  // of one task, when its tracking began

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
