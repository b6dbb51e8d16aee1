// Simulates how the kernel changes a tree of processes in each step of a fork plan. The source uses it to plan, and the
// destination uses it to check a plan before it executes anything.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "common/plan/fork_step.hpp"
#include "common/plan/task_node.hpp"

namespace crx {

// Returns an empty string if the nodes are a tree: PIDs are positive and unique; the root comes first, is alive, and is
// the only one without a parent; parents come before their children. Otherwise returns the fault, as a part of a
// message.
std::string why_no_tree(const std::vector<TaskNode>& tasks);

// A value type: copy it to try a plan. Not thread-safe.
class ForkedTree {
 public:
  struct Process {
    uint64_t start_ticks = 0;  // of its task
    pid_t parent = 0;          // by the name that ForkStep uses; 0 for the root
    pid_t pid = 0;             // 0: a placeholder with any PID
    pid_t sid = 0;
    pid_t pgid = 0;
    std::array<uint32_t, 4> groups{};  // processes with equal numbers share the resource, see TaskNode::groups
    bool adopts = false;               // a subreaper
    bool ended = false;                // a zombie
    uint64_t serial = 0;               // ascends in the order of forks: parents before their children
  };

  // Makes one step and returns an empty string. If the kernel, or the announced nodes, do not allow the step, returns
  // the reason and changes nothing. tasks: the nodes of the tree that is being made.
  [[nodiscard]] std::string apply(const ForkStep& step, const std::vector<TaskNode>& tasks);
  // Returns an empty string if the processes are those of `tasks` with the same parents and sessions; otherwise returns
  // the difference. finished: also compares process groups, shared resources, and which processes are zombies.
  std::string difference(const std::vector<TaskNode>& tasks, bool finished) const;

  bool empty() const noexcept { return processes_.empty(); }
  const Process* find(pid_t vessel) const;
  // Throws Error(bug) where there is none.
  const Process& at(pid_t vessel) const;
  const std::map<pid_t, Process>& processes() const noexcept { return processes_; }
  // Returns all names, children before their parents.
  std::vector<pid_t> newest_first() const;
  std::vector<pid_t> children_of(pid_t vessel) const;

 private:
  std::string make_root(pid_t pid, const std::vector<TaskNode>& tasks);
  std::string fork(const ForkStep& step, const std::vector<TaskNode>& tasks);
  std::string lead_session(pid_t vessel, const std::vector<TaskNode>& tasks);
  std::string end_placeholder(pid_t vessel);
  std::string unshare(const ForkStep& step);
  std::string enter_group(const ForkStep& step);
  std::string difference_of(const TaskNode& task, pid_t outer, bool finished) const;
  std::string sharing_difference(const std::vector<TaskNode>& tasks) const;

  std::map<pid_t, Process> processes_;
  uint64_t serial_ = 0;
  uint32_t next_group_ = 1;
};

}  // namespace crx
