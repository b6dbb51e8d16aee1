// Makes the vessels of a tree and brings them to their places, according to a fork plan.
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

// Owns the vessels; the destructor removes them all, children first. Single-threaded, as Vessel is.
//
// The source decides the order of forks (fork_plan.hpp), and its plan is not trusted: before the first step is
// executed, the whole plan is tried on a ForkedTree. It is refused with Error(peer) if a step is impossible, or if the
// plan does not make exactly the announced tree.
class VesselTree {
 public:
  VesselTree() = default;
  VesselTree(const VesselTree&) = delete;
  ~VesselTree();

  // Executes `plan`, a result of ForkPlanner::follow(). Afterwards there is a vessel for each living task of `tasks`
  // (parents before their children, the root first; the root's ppid is 0), and no other, except for zombies that still
  // lead a session. cgroup_dir: of the root, see VesselPlan. ptys: makes the controlling terminals, which children
  // inherit; it must outlive this object. Throws Error(refused) that names a PID which is taken, Error(peer) for a list
  // that is no tree or a bad plan; the vessels can only be destroyed then.
  void follow(std::vector<TaskNode> tasks, const ForkPlan& plan, int cgroup_dir, PtyTable& ptys);
  // Executes `plan`, a result of ForkPlanner::finish(), for the tasks of the last follow(); follow() must not be called
  // afterwards. The plan stops sharing that was only temporary, moves vessels into their process groups, and makes the
  // zombies, which have no vessels afterwards. Throws as follow() does.
  void finish(const ForkPlan& plan);

  bool empty() const noexcept { return vessels_.empty(); }
  Vessel& root();
  // Returns 0 before the first layout.
  pid_t root_pid() const noexcept { return tasks_.empty() ? 0 : tasks_.front().pid; }
  // Returns nullptr where there is none.
  Vessel* find(pid_t pid) noexcept;
  // Throws Error(peer) where there is none.
  Vessel& at(pid_t pid);
  // Returns the vessels of the living tasks, parents before their children.
  std::vector<Vessel*> all();
  // The tasks of the last follow().
  const std::vector<TaskNode>& tasks() const noexcept { return tasks_; }
  // Releases all vessels: see VesselProcess::release().
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
  ForkedTree forked_;                // the parents, sessions and groups that the vessels have now
  std::map<pid_t, Vessel> vessels_;  // by the names that ForkStep uses
  int cgroup_dir_ = -1;              // during follow()
  PtyTable* ptys_ = nullptr;         // from the first follow() on
  std::set<pid_t> pending_sigchld_;  // vessels whose children have ended: SIGCHLD is pending in them
};

}  // namespace crx
