// The processes of a tree, from /proc.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "common/plan/sharing.hpp"
#include "common/plan/task_node.hpp"

namespace crx {

// Traces that children leave in their parent's /proc entry: see ProcessChurn.
struct ChildTraces {
  uint64_t faults = 0;           // page faults of children that the process has waited for
  bool ignores_sigchld = false;  // it ignores SIGCHLD, so its children leave no zombies and add no faults
};

// A tree as one pass over /proc shows it. It is handed to every step of a move that needs the list at that moment. A
// running tree may have changed since.
struct TreeSnapshot {
  std::vector<TaskNode> tasks;          // parents before their children, the root first; zombies included
  std::map<pid_t, ChildTraces> traces;  // of all tasks
  std::string last_born;                // last_born() from before the first task was read
};

// Returns the process number that was assigned last in our PID namespace or below it (proc_loadavg(5)).
std::string last_born();

// Whether the process is a member of a tree, or descends from one: then it was forked after the members were listed.
bool descends_from(pid_t pid, const std::function<bool(pid_t)>& is_member);

// Reads all fields except those for sharing. Returns false if there is no such process (any more).
bool try_read_task(pid_t pid, TaskNode& task, ChildTraces* traces = nullptr);

// Finds which tasks share which objects, and the clone and unshare flags that recreate this: fills groups, cloner,
// clone_flags and unshare_flags of all tasks. Returns the sharing that no order of forks recreates.
std::vector<SharingConflict> find_sharing(std::vector<TaskNode>& tree);
// Returns the same conflicts from a tree that find_sharing() has filled.
std::vector<SharingConflict> sharing_conflicts(const std::vector<TaskNode>& tree);

// Whether the process has ended (a zombie counts), its number belongs to another process now, or it is exiting: memory,
// descriptors and directories are released before it becomes a zombie (kernel/exit.c: do_exit).
bool has_ended(const TaskNode& task);
// Whether the process is gone, or all its threads are exiting or about to (PF_EXITING, or SIGKILL is pending). False
// for a process whose first thread alone has ended.
bool is_ending(pid_t pid);

// Returns the TIDs of a process in the order of /proc. Throws Error(victim_gone).
std::vector<pid_t> list_threads(pid_t pid);

// Returns the children of all threads of a process, in the kernel's order (/proc/PID/task/TID/children, proc(5)). The
// list is complete only while the process and its children are stopped. Empty if the process has gone.
std::vector<pid_t> list_children(pid_t pid);

// Returns `root` and all its descendants. Processes that end meanwhile may be left out. Throws Error(victim_gone) if
// `root` does not exist.
TreeSnapshot list_tree(pid_t root);

// Whether the calling process is part of the tree; it would stop itself.
bool holds_caller(const std::vector<TaskNode>& tree);

}  // namespace crx
