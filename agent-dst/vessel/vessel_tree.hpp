// The vessels of a tree, made and placed as a fork plan says.
#pragma once

#include <sys/types.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "agent-dst/objects/pty_table.hpp"
#include "agent-dst/vessel/vessel.hpp"
#include "common/plan/fork_step.hpp"
#include "common/plan/forked_tree.hpp"
#include "common/plan/task_node.hpp"

namespace crx {

// Owns the vessels; destroying it removes them all, children first. Single-threaded, as Vessel is.
//
// The order of forks is the source's (fork_plan.hpp). A plan is believed in nothing: before its first step is executed
// it is tried on a ForkedTree, and refused with Error(peer) if a step is impossible, or if the plan does not make
// exactly the announced tree.
class VesselTree {
 public:
  VesselTree() = default;
  VesselTree(const VesselTree&) = delete;
  ~VesselTree();

  // Executes `plan` (ForkPlanner::follow()), after which there is a vessel for each living task of `tasks` (parents
  // before their children, the root first; the root's ppid is 0), and no other. cgroup_dir: of the root, see
  // VesselPlan. ptys: makes the controlling terminals, which children inherit. Throws Error(refused) naming a PID that
  // is taken, Error(peer) for a list that is no tree, or a bad plan; only destroying the vessels is possible then.
  void follow(std::vector<TaskNode> tasks, const ForkPlan& plan, int cgroup_dir, PtyTable& ptys);
  // Executes ForkPlanner::finish() for the tasks of the last follow(), when nothing is forked any more: ends what is
  // shared only meanwhile, enters process groups, and ends the zombies, which have no vessels afterwards.
  void finish(const ForkPlan& plan);

  bool empty() const noexcept { return vessels_.empty(); }
  Vessel& root();
  // 0 before the first layout.
  pid_t root_pid() const noexcept { return tasks_.empty() ? 0 : tasks_.front().pid; }
  // Nullptr where there is none.
  Vessel* find(pid_t pid) noexcept;
  // Error(peer) where there is none.
  Vessel& at(pid_t pid);
  // The vessels of the living, parents before their children.
  std::vector<Vessel*> all();
  // As announced last.
  const std::vector<TaskNode>& tasks() const noexcept { return tasks_; }
  // Releases all: see VesselProcess::release().
  void release();

 private:
  void check(const ForkPlan& plan, bool finished) const;
  void execute(const ForkStep& step);
  void fork(const ForkStep& step);
  void end_and_reap(pid_t vessel);
  void end_placeholder(pid_t vessel);
  void end_zombie(pid_t pid);
  void make_root();
  void take_terminal(pid_t pid);
  const TaskNode* task_of(pid_t pid) const;

  std::vector<TaskNode> tasks_;
  ForkedTree forked_;                // what the vessels are
  std::map<pid_t, Vessel> vessels_;  // as ForkStep names them
  int cgroup_dir_ = -1;              // while following
  PtyTable* ptys_ = nullptr;         // from the first follow() on
  std::set<pid_t> pending_sigchld_;  // have had children that ended: SIGCHLD waits for them
};

}  // namespace crx
