// In which order the processes of a tree are forked, so that each comes to its parent, session, group and to what it
// shares: computed once, by the source (or by crx-restore from an image set), and executed by the destination.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "common/plan/fork_step.hpp"
#include "common/plan/forked_tree.hpp"
#include "common/plan/task_node.hpp"

namespace crx {

// A task that the destination is to have. Its node has been through plan_sharing(); the root's ppid is 0.
struct ForkRequest {
  TaskNode task;
  bool replaced = false;  // it is not what its vessel was made for, or has none: the vessel goes, and those below it
  // Whose layout and pages a new vessel starts with: its parent's, or those of an earlier child of the same parent; 0:
  // it starts empty.
  pid_t memory_donor = 0;
};

// Whether `child` has to be forked before its parent, which is new too, goes on: so in the same step of a move. It is a
// zombie; it is in the session that the parent leaves; or its own children are in a session that is neither its own nor
// the parent's, and others in that session, which come with the parent, can only be made by them. `tree`: all tasks.
bool is_forked_with_parent(const TaskNode& child, const TaskNode& parent, const std::vector<const TaskNode*>& tree);

// Knows which vessels the destination has, from the plans made so far, all of which must be executed.
//
// Which session a task is in is decided by when it is forked: before or after its parent calls setsid(2). So children
// that are in the session which their parent leaves come first. A task whose session neither it nor its parent leads
// or inherits has been orphaned: a placeholder forks it, below its parent or below a member of its session that is
// below its parent, and ends, so that the parent adopts it. A placeholder leads a session or group whose leader has
// gone until all its members are in it. See setsid(2), setpgid(2), credentials(7), PR_SET_CHILD_SUBREAPER(2const).
//
// All throw Error(unsupported) with the PID of a task that no order brings to its place; the planner is of no more use
// then.
class ForkPlanner {
 public:
  // The steps after which the destination has vessels of exactly these tasks (parents before their children, the root
  // first) with parents and sessions as in the nodes. Zombies get theirs in finish(), unless they still lead a session.
  ForkPlan follow(std::vector<ForkRequest> wanted);
  // When nothing is forked any more, for the tasks of the last follow(): what is shared, groups, zombies.
  ForkPlan finish();

 private:
  void emit(const ForkStep& step);
  [[noreturn]] void misplaced(const TaskNode& task) const;
  void require(bool finished);
  const ForkRequest* request_of(pid_t pid) const;
  bool leads_after_death(const TaskNode& task) const;
  bool has_sibling_donor(const ForkRequest& request) const;
  pid_t sibling_of(const ForkRequest& request, pid_t parent) const;
  bool is_led(pid_t sid) const;
  pid_t member_below(pid_t sid, pid_t above) const;
  void remove_gone();
  void create(const ForkRequest& request, pid_t parent);
  void create_siblings(const TaskNode& task);
  void create_below(const TaskNode& task);
  void create_ended(const ForkRequest& request);
  void create_orphans(const TaskNode& parent);
  void create_session_orphans(const TaskNode& parent, pid_t sid);
  void enter_groups(pid_t sid);

  ForkedTree tree_;
  std::vector<ForkRequest> wanted_;
  std::vector<TaskNode> nodes_;  // of wanted_
  ForkPlan plan_;                // being made
  pid_t placeholders_ = 0;       // the last one's name
};

// Why no order of forks makes a tree from nothing, in words for the user.
struct ForkConflict {
  pid_t pid = 0;  // the root where no single task is to blame
  std::string reason, remedy;
};
// tree: as ForkPlanner::follow() wants it, but for the root's ppid. Nothing is found in a list that is no tree, as
// /proc shows it while processes change their parents.
std::optional<ForkConflict> find_fork_conflict(const std::vector<TaskNode>& tree);

}  // namespace crx
