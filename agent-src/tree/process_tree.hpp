// The processes of a tree, as /proc shows them.
#pragma once

#include <sys/types.h>

#include <array>
#include <csignal>
#include <cstdint>
#include <string>
#include <vector>

#include "common/plan/sharing.hpp"

namespace crx {

// A process and its place. IDs as seen from here.
struct TaskNode {
  pid_t pid = 0;
  pid_t ppid = 0;  // the root's is outside of the tree
  pid_t pgid = 0;
  pid_t sid = 0;
  bool dead = false;  // a zombie: nothing of it is left but its exit code
  int exit_code = 0;  // of a zombie, as waitpid(2) gives it
  std::string comm;
  // Of the leader of a session: the number of its controlling terminal under /dev/pts, plus one; 0 for none.
  uint32_t terminal = 0;
  uint64_t start_ticks = 0;       // tells reused PIDs apart
  uint64_t child_faults = 0;      // page faults of children that it has waited for
  bool ignores_children = false;  // SIGCHLD: they leave nothing behind
  int exit_signal = SIGCHLD;      // what its parent is sent when it ends; 0: nothing
  // SharingTask's.
  std::array<uint32_t, 4> groups{};
  pid_t cloner = 0;
  uint32_t clone_flags = 0;
  uint32_t unshare_flags = 0;

  // Who is its maker: a sibling, or its parent.
  pid_t made_by() const noexcept { return cloner != 0 ? cloner : ppid; }
  bool shares_memory() const noexcept { return (clone_flags & sharing::kMemory) != 0; }

  // The same process at the same place: its vessel is what it was.
  bool same_place(const TaskNode& other) const noexcept {
    return pid == other.pid && ppid == other.ppid && sid == other.sid && dead == other.dead &&
           terminal == other.terminal && start_ticks == other.start_ticks && cloner == other.cloner &&
           clone_flags == other.clone_flags && unshare_flags == other.unshare_flags;
  }
};

// Nothing when there is no such process (any more). All but what it shares.
bool try_read_task(pid_t pid, TaskNode& task);

// Finds who shares what with whom, and how they come to: groups, maker, shares, leaves of all. What no order gives is
// returned.
std::vector<SharingConflict> find_sharing(std::vector<TaskNode>& tree);
// The same of what find_sharing() has found.
std::vector<SharingConflict> sharing_conflicts(const std::vector<TaskNode>& tree);

// Whether it has ended (a zombie counts), its number belongs to another process now, or it is on its way out: memory,
// descriptors and directories go before it shows as a zombie (kernel/exit.c: do_exit).
bool has_ended(const TaskNode& task);

// TIDs of a process as /proc lists them. Throws Error(victim_gone).
std::vector<pid_t> list_threads(pid_t pid);

// Children of all threads of a process, in the kernel's order (/proc/PID/task/TID/children, proc(5)); complete only
// while the process and its children are stopped. Empty for a process that has gone.
std::vector<pid_t> list_children(pid_t pid);

// The tree below `root` and the root itself, parents before their children. Those that end meanwhile may be left out.
// Throws Error(victim_gone) when the root is none.
std::vector<TaskNode> list_tree(pid_t root);

// Whether the calling process is one of the tree: it would stop itself.
bool holds_caller(const std::vector<TaskNode>& tree);

}  // namespace crx
