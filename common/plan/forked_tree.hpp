// A tree of processes while a fork plan is executed: what the kernel makes of each step. The source plans with it, and
// the destination checks a plan with it before it executes anything.
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

// Empty where the nodes are a tree: PIDs are positive and unique, the root comes first, alone has no parent and is
// alive, parents come before their children. Otherwise what is wrong, for a message.
std::string why_no_tree(const std::vector<TaskNode>& tasks);

// A value: copy it to try a plan. Not thread-safe.
class ForkedTree {
 public:
  struct Process {
    uint64_t start_ticks = 0;  // of its task
    pid_t parent = 0;          // as ForkStep names it; 0: the root's
    pid_t pid = 0;             // 0: a placeholder with any PID
    pid_t sid = 0;
    pid_t pgid = 0;
    std::array<uint32_t, 4> groups{};  // equal numbers: shared, see TaskNode::groups
    bool adopts = false;               // a subreaper
    bool ended = false;                // a zombie
    uint64_t serial = 0;               // ascends in the order of forks: parents before their children
  };

  // Empty, and the step has been made; or why the kernel, or the announced nodes, do not allow it, and nothing has
  // changed. `tasks`: the nodes of the tree that is being made.
  [[nodiscard]] std::string apply(const ForkStep& step, const std::vector<TaskNode>& tasks);
  // Empty where the processes are those of `tasks`, each at its place; finished: also in their groups, sharing what
  // they share, zombies ended. Otherwise what differs.
  std::string difference(const std::vector<TaskNode>& tasks, bool finished) const;

  bool empty() const noexcept { return processes_.empty(); }
  const Process* find(pid_t vessel) const;
  // Error(bug) where there is none.
  const Process& at(pid_t vessel) const;
  const std::map<pid_t, Process>& processes() const noexcept { return processes_; }
  // All names, children before their parents.
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
