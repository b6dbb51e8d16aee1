// The processes of a tree, from /proc.
#pragma once

#include <sys/types.h>

#include <array>
#include <csignal>
#include <cstdint>
#include <string>
#include <vector>

#include "common/plan/sharing.hpp"

namespace crx {

// A process and its place in the tree. All numbers are those of our PID namespace.
struct TaskNode {
  pid_t pid = 0;
  pid_t ppid = 0;  // the root's parent is outside the tree
  pid_t pgid = 0;
  pid_t sid = 0;
  bool dead = false;  // a zombie: only its exit status is left
  int exit_code = 0;  // of a zombie, in the form of waitpid(2)
  std::string comm;
  // For a session leader: the number of its controlling terminal under /dev/pts, plus one; 0: none.
  uint32_t terminal = 0;
  uint64_t start_ticks = 0;       // start time, which tells reused PIDs apart
  uint64_t child_faults = 0;      // page faults of children that it has waited for
  bool ignores_children = false;  // it ignores SIGCHLD, so its children leave no zombies
  int exit_signal = SIGCHLD;      // the signal that its parent gets when it ends; 0: none
  // As in SharingTask (common/plan).
  std::array<uint32_t, 4> groups{};
  pid_t cloner = 0;
  uint32_t clone_flags = 0;
  uint32_t unshare_flags = 0;

  // Returns the task that forks this one at the destination: a sibling, or its parent.
  pid_t made_by() const noexcept { return cloner != 0 ? cloner : ppid; }
  bool shares_memory() const noexcept { return (clone_flags & sharing::kMemory) != 0; }

  // Whether this is the same process at the same place, so that its vessel stays valid.
  bool same_place(const TaskNode& other) const noexcept {
    return pid == other.pid && ppid == other.ppid && sid == other.sid && dead == other.dead &&
           terminal == other.terminal && start_ticks == other.start_ticks && cloner == other.cloner &&
           clone_flags == other.clone_flags && unshare_flags == other.unshare_flags;
  }
};

// Reads all fields except those for sharing. Returns false if there is no such process (any more).
bool try_read_task(pid_t pid, TaskNode& task);

// Finds which tasks share which objects, and the clone and unshare flags that recreate this: fills groups, cloner,
// clone_flags and unshare_flags of all tasks. Returns the sharing that no order of forks recreates.
std::vector<SharingConflict> find_sharing(std::vector<TaskNode>& tree);
// Returns the same conflicts from a tree that find_sharing() has filled.
std::vector<SharingConflict> sharing_conflicts(const std::vector<TaskNode>& tree);

// Whether the process has ended (a zombie counts), its number belongs to another process now, or it is exiting: memory,
// descriptors and directories are released before it becomes a zombie (kernel/exit.c: do_exit).
bool has_ended(const TaskNode& task);

// Returns the TIDs of a process in the order of /proc. Throws Error(victim_gone).
std::vector<pid_t> list_threads(pid_t pid);

// Returns the children of all threads of a process, in the kernel's order (/proc/PID/task/TID/children, proc(5)). The
// list is complete only while the process and its children are stopped. Empty if the process has gone.
std::vector<pid_t> list_children(pid_t pid);

// Returns `root` and all its descendants, parents before their children. Processes that end meanwhile may be left out.
// Throws Error(victim_gone) if `root` does not exist.
std::vector<TaskNode> list_tree(pid_t root);

// Whether the calling process is part of the tree; it would stop itself.
bool holds_caller(const std::vector<TaskNode>& tree);

}  // namespace crx
