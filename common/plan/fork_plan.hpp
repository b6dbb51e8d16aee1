// Plans the order in which the processes of a tree are forked, so that each gets its parent, session and group, and
// shares the right resources. The source (or crx-restore, from an image set) computes the plan, and the destination
// executes it.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "common/plan/fork_step.hpp"
#include "common/plan/forked_tree.hpp"
#include "common/plan/task_node.hpp"

namespace crx {

// A task that the destination should have. plan_sharing() must have completed its node; the root's ppid is 0.
struct ForkRequest {
  TaskNode task;
  bool replaced = false;  // it has no vessel, or one made for another task: that vessel and all below it must end
  // The task with whose layout and pages a new vessel starts: its parent, or an earlier child of the same parent. 0:
  // the vessel starts empty.
  pid_t memory_donor = 0;
};

// Returns whether `child` has to be forked in the same layout as its parent, which is new, too. There are three cases:
// it is a zombie; it is in a session that is neither its own nor its parent's, and so in one that the parent leaves; or
// one of its children is in a session that is neither that child's own, nor that of `child`, nor the parent's, and
// other members of that session, which are forked along with the parent, can only be forked by these children. tree:
// all tasks.
bool is_forked_with_parent(const TaskNode& child, const TaskNode& parent, const std::vector<const TaskNode*>& tree);

// Plans the steps by which the destination follows the source. It remembers which vessels the destination has, from the
// plans that it made so far; so all of these must be executed. Not thread-safe.
//
// The session of a task depends on whether it is forked before or after its parent calls setsid(2). So children in the
// session that their parent leaves are forked first. A task whose session neither it nor its parent leads or inherits
// is an orphan: a placeholder forks it and ends, so that the parent adopts it. The placeholder is a child of the
// parent, or of a member of the session below the parent. Where the leader of a session or group has ended, a
// placeholder leads it until all its members are in it. See setsid(2), setpgid(2), credentials(7),
// PR_SET_CHILD_SUBREAPER(2const).
//
// The functions throw Error(unsupported) with the PID of a task that no order of forks brings to its place. The planner
// must not be used afterwards.
class ForkPlanner {
 public:
  // Returns the steps after which the destination has vessels of exactly these tasks, with parents and sessions as in
  // the nodes. wanted: parents before their children, the root first. The vessels of zombies are made by finish(),
  // unless they still lead a session.
  ForkPlan follow(std::vector<ForkRequest> wanted);
  // Returns the last steps, for the tasks of the last follow(): the tasks stop sharing what they shared only
  // temporarily, enter their process groups, and zombies end. follow() must not be called afterwards.
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
  ForkPlan plan_;                // the plan that is being made
  pid_t placeholders_ = 0;       // the name of the last placeholder
};

// The reason why no order of forks makes a tree from nothing, in words for the user.
struct ForkConflict {
  pid_t pid = 0;  // the task that causes it; the root where no single task does
  std::string reason, remedy;
};
// Checks whether some order of forks makes a tree, and returns the reason if none does. tree: as for
// ForkPlanner::follow(), but with any ppid of the root. Returns nullopt for a list that is no tree: /proc can show such
// a list while processes change their parents.
std::optional<ForkConflict> find_fork_conflict(const std::vector<TaskNode>& tree);

}  // namespace crx
