#include "common/plan/fork_plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "common/base/error.hpp"

namespace crx {
namespace {

constexpr const char* kForkPlanStep = "creating the processes";
constexpr const char* kEndIt = "end it before moving the program";

// Returns whether the child's session is neither its own nor its parent's, so that another process has to create it.
bool is_elsewhere(const TaskNode& child, const TaskNode& parent) {
  return child.sid != parent.sid && child.sid != child.pid;
}

}  // namespace

bool is_forked_with_parent(const TaskNode& child, const TaskNode& parent, const std::vector<const TaskNode*>& tree) {
  return child.dead || is_elsewhere(child, parent) || std::any_of(tree.begin(), tree.end(), [&](const TaskNode* below) {
           return below->ppid == child.pid && is_elsewhere(*below, child) && below->sid != parent.sid;
         });
}

void ForkPlanner::emit(const ForkStep& step) {
  const std::string why = tree_.apply(step, nodes_);
  if (!why.empty()) {
    throw Error(ErrorCode::unsupported, kForkPlanStep, why)
        .with_hint("end it, or its parent, before moving the program");
  }
  plan_.push_back(step);
}

void ForkPlanner::misplaced(const TaskNode& task) const {
  throw Error(ErrorCode::unsupported, kForkPlanStep,
              fmt::format("cannot come below process {}, since session {} began elsewhere", task.ppid, task.sid))
      .with_pid(task.pid)
      .with_hint(kEndIt);
}

void ForkPlanner::require(bool finished) {
  const std::string why = tree_.difference(nodes_, finished);
  if (!why.empty()) throw Error(ErrorCode::unsupported, kForkPlanStep, why).with_hint(kEndIt);
}

const ForkRequest* ForkPlanner::request_of(pid_t pid) const {
  const auto found = std::find_if(wanted_.begin(), wanted_.end(),
                                  [pid](const ForkRequest& request) { return request.task.pid == pid; });
  return found == wanted_.end() ? nullptr : &*found;
}

// Returns whether the task is a zombie whose PID is still the ID of a session with living members. The kernel gives
// that PID to no other process.
bool ForkPlanner::leads_after_death(const TaskNode& task) const {
  return task.dead && task.sid == task.pid && std::any_of(nodes_.begin(), nodes_.end(), [&](const TaskNode& other) {
           return other.sid == task.pid && !other.dead;
         });
}

bool ForkPlanner::has_sibling_donor(const ForkRequest& request) const {
  const ForkedTree::Process* donor = request.memory_donor == 0 ? nullptr : tree_.find(request.memory_donor);
  return donor != nullptr && donor->parent == request.task.ppid && request.task.ppid != 0;
}

bool ForkPlanner::is_led(pid_t sid) const {
  return std::any_of(tree_.processes().begin(), tree_.processes().end(),
                     [sid](const auto& entry) { return entry.second.sid == sid; });
}

// Returns a member of the session that is below `above`, which would adopt its orphans; 0 where there is none.
pid_t ForkPlanner::member_below(pid_t sid, pid_t above) const {
  for (const auto& [name, process] : tree_.processes()) {
    if (process.sid != sid) continue;
    for (const ForkedTree::Process* at = &process; at != nullptr && at->parent != 0; at = tree_.find(at->parent)) {
      if (at->parent == above) return name;
    }
  }
  return 0;
}

ForkPlan ForkPlanner::follow(std::vector<ForkRequest> wanted) {
  wanted_ = std::move(wanted);
  nodes_.clear();
  plan_.clear();
  placeholders_ = 0;
  for (const ForkRequest& request : wanted_) nodes_.push_back(request.task);
  if (const std::string why = why_no_tree(nodes_); !why.empty())
    throw Error(ErrorCode::bug, kForkPlanStep, "the list of processes is no tree: " + why);
  remove_gone();
  const TaskNode& root = nodes_.front();
  if (tree_.empty()) {
    emit({.action = ForkAction::make_root, .vessel = root.pid});
  } else if (wanted_.front().replaced) {
    emit({.action = ForkAction::empty_root, .vessel = root.pid});
  }
  create_below(root);
  require(false);
  return std::exchange(plan_, {});
}

// Ends the vessels of processes that have ended or been replaced, and all vessels below them.
void ForkPlanner::remove_gone() {
  std::set<pid_t> stay;
  for (const ForkRequest& request : wanted_) {
    const TaskNode& task = request.task;
    const ForkedTree::Process* vessel = tree_.find(task.pid);
    if (vessel == nullptr || (task.dead && !leads_after_death(task))) continue;
    const bool below_same = !request.replaced && stay.contains(task.ppid) && vessel->parent == task.ppid;
    if (task.ppid == 0 || below_same) stay.insert(task.pid);
  }
  for (const pid_t name : tree_.newest_first()) {
    if (!stay.contains(name)) emit({.action = ForkAction::end_vessel, .vessel = name});
  }
}

// Returns the sibling that forks a process which its parent does not fork.
pid_t ForkPlanner::sibling_of(const ForkRequest& request, pid_t parent) const {
  const TaskNode& task = request.task;
  const pid_t wanted = task.cloner != 0 ? task.cloner : request.memory_donor;
  const ForkedTree::Process* sibling = tree_.find(wanted);
  if (sibling == nullptr || (sibling->parent != task.ppid && sibling->parent != parent) ||
      (request.memory_donor != 0 && request.memory_donor != wanted)) {
    throw Error(ErrorCode::unsupported, kForkPlanStep, fmt::format("cannot be forked by process {}", wanted))
        .with_pid(task.pid)
        .with_hint(kEndIt);
  }
  return wanted;
}

// Adds the fork of a process. parent: its parent, or the placeholder that forks it instead.
void ForkPlanner::create(const ForkRequest& request, pid_t parent) {
  const TaskNode& task = request.task;
  const bool as_sibling = task.cloner != 0 || has_sibling_donor(request);
  const pid_t from = as_sibling ? sibling_of(request, parent) : parent;
  const auto refuse = [&](const std::string& reason) {
    throw Error(ErrorCode::unsupported, kForkPlanStep, reason).with_pid(task.pid).with_hint(kEndIt);
  };
  if (request.memory_donor != 0 && !as_sibling && request.memory_donor != parent)
    throw Error(ErrorCode::bug, kForkPlanStep,
                fmt::format("task {} cannot have the memory of {}", task.pid, request.memory_donor));
  if (task.clone_flags != 0 && task.cloner == 0 && (as_sibling || task.ppid != parent))
    refuse("shares things with a parent in whose session it is not");
  if (task.cloner != 0 && task.sid != tree_.at(from).sid && task.sid != task.pid)
    refuse(fmt::format("shares things with process {}, in whose session it is not", task.cloner));
  emit({.action = ForkAction::fork,
        .vessel = task.pid,
        .from = from,
        .flags = task.clone_flags,
        .as_sibling = as_sibling,
        .with_memory = request.memory_donor != 0 && !task.shares_memory()});
}

// Adds the forks of those siblings that `task` forks (CLONE_PARENT) and that are in the session which it is about to
// leave.
void ForkPlanner::create_siblings(const TaskNode& task) {
  for (const ForkRequest& other : wanted_) {
    const bool here = other.task.cloner == task.pid && !other.task.dead && other.task.sid == tree_.at(task.pid).sid;
    if (here && tree_.find(other.task.pid) == nullptr) create(other, other.task.ppid);
  }
}

// Adds the forks of everything below `task`. Children in the session that `task` leaves are forked first; then it
// creates its own session; then it forks all others.
void ForkPlanner::create_below(const TaskNode& task) {
  std::set<pid_t> done;
  const auto create_some = [&](auto&& wanted) {
    for (const ForkRequest& child : wanted_) {
      if (child.task.ppid != task.pid || child.task.dead || !wanted(child)) continue;
      if (tree_.find(child.task.pid) == nullptr) {
        if (child.task.cloner != 0 && tree_.find(child.task.cloner) == nullptr) continue;
        create(child, task.pid);
      }
      create_below(child.task);
    }
  };
  const auto own_sid = [&] { return tree_.at(task.pid).sid; };
  if (task.sid == task.pid && own_sid() != task.sid) {
    create_siblings(task);
    create_some([&](const ForkRequest& child) {
      return child.task.sid == own_sid() && child.task.sid != child.task.pid && done.insert(child.task.pid).second;
    });
    emit({.action = ForkAction::lead_session, .vessel = task.pid});
  }
  create_some([&](const ForkRequest& child) {
    const TaskNode& node = child.task;
    const bool forked_here =
        node.sid == own_sid() || node.sid == node.pid || node.cloner != 0 || has_sibling_donor(child);
    // An orphan of an earlier layout exists already and may have new children.
    return (forked_here || tree_.find(node.pid) != nullptr) && done.insert(node.pid).second;
  });
  create_orphans(task);
}

// Adds the fork of a process that becomes a zombie; finish() ends it.
void ForkPlanner::create_ended(const ForkRequest& request) {
  create(request, request.task.ppid);
  if (request.task.sid == request.task.pid) emit({.action = ForkAction::lead_session, .vessel = request.task.pid});
}

// Adds the forks of the remaining children of `parent`: their session is neither their own nor that of a process above
// them.
void ForkPlanner::create_orphans(const TaskNode& parent) {
  for (const ForkRequest& orphan : wanted_) {
    if (orphan.task.ppid != parent.pid || orphan.task.dead || tree_.find(orphan.task.pid) != nullptr) continue;
    const ForkRequest* leader = request_of(orphan.task.sid);
    if (leader != nullptr && leads_after_death(leader->task) && tree_.find(leader->task.pid) == nullptr &&
        tree_.find(leader->task.ppid) != nullptr)
      create_ended(*leader);
    create_session_orphans(parent, orphan.task.sid);
    if (tree_.find(orphan.task.pid) == nullptr) misplaced(orphan.task);
  }
}

// Adds the forks of the orphans of one session below `parent`. Where the session does not exist yet, the placeholder
// has the leader's PID and creates it; otherwise it has any PID.
void ForkPlanner::create_session_orphans(const TaskNode& parent, pid_t sid) {
  const pid_t member = member_below(sid, parent.pid);
  const auto is_orphan = [&](const ForkRequest& other) {
    return other.task.ppid == parent.pid && !other.task.dead && other.task.sid == sid &&
           tree_.find(other.task.pid) == nullptr;
  };
  if (member == 0 && is_led(sid)) misplaced(std::find_if(wanted_.begin(), wanted_.end(), is_orphan)->task);
  const pid_t placeholder = --placeholders_;
  emit({.action = ForkAction::adopt_orphans, .vessel = parent.pid});
  emit({.action = ForkAction::fork,
        .vessel = placeholder,
        .from = member != 0 ? member : parent.pid,
        .number = member != 0 ? 0 : sid});
  if (member == 0) emit({.action = ForkAction::lead_session, .vessel = placeholder});
  std::vector<pid_t> forked;
  for (const ForkRequest& other : wanted_) {
    if (!is_orphan(other) || (other.task.cloner != 0 && tree_.find(other.task.cloner) == nullptr)) continue;
    create(other, placeholder);
    forked.push_back(other.task.pid);
  }
  emit({.action = ForkAction::end_placeholder, .vessel = placeholder});
  emit({.action = ForkAction::leave_orphans, .vessel = parent.pid});
  for (const pid_t pid : forked) {
    const TaskNode& task = request_of(pid)->task;
    if (tree_.at(pid).parent != parent.pid) misplaced(task);
    create_below(task);
  }
}

ForkPlan ForkPlanner::finish() {
  plan_.clear();
  placeholders_ = 0;
  for (const TaskNode& task : nodes_) {
    if (task.unshare_flags != 0 && !task.dead)
      emit({.action = ForkAction::unshare, .vessel = task.pid, .flags = task.unshare_flags});
  }
  for (const ForkRequest& request : wanted_) {
    if (request.task.dead && tree_.find(request.task.pid) == nullptr) create_ended(request);
  }
  std::set<pid_t> sessions;
  for (const TaskNode& task : nodes_) sessions.insert(task.sid);
  for (const pid_t sid : sessions) enter_groups(sid);
  for (const TaskNode& task : nodes_) {
    if (task.dead) emit({.action = ForkAction::end_zombie, .vessel = task.pid});
  }
  require(true);
  return std::exchange(plan_, {});
}

// Adds the steps by which the members of one session enter their process groups; the leaders of the groups come first.
void ForkPlanner::enter_groups(pid_t sid) {
  const TaskNode& root = nodes_.front();
  const pid_t outer = root.pgid == root.pid ? 0 : root.pgid;
  const auto enter = [&](const TaskNode& task) {
    const ForkedTree::Process* vessel = tree_.find(task.pid);
    // A zombie may be in another session, if it was forked before its parent created this one.
    if (vessel == nullptr || vessel->pgid == task.pgid || vessel->sid != sid) return;
    emit({.action = ForkAction::enter_group, .vessel = task.pid, .number = task.pgid});
  };
  for (const TaskNode& task : nodes_) {
    if (task.sid == sid && task.pgid == task.pid) enter(task);
  }
  for (const TaskNode& task : nodes_) {
    const ForkedTree::Process* vessel = tree_.find(task.pid);
    if (task.sid != sid || task.pgid == task.pid || task.pgid == outer || vessel == nullptr) continue;
    if (vessel->pgid == task.pgid || vessel->sid != sid) continue;
    if (tree_.find(task.pgid) != nullptr || task.pgid == sid) {
      enter(task);
      continue;
    }
    // The group's leader has ended: a placeholder leads the group until all its members have entered it.
    const pid_t placeholder = --placeholders_;
    emit({.action = ForkAction::fork, .vessel = placeholder, .from = task.pid, .number = task.pgid});
    emit({.action = ForkAction::enter_group, .vessel = placeholder, .number = task.pgid});
    for (const TaskNode& member : nodes_) {
      if (member.pgid == task.pgid) enter(member);
    }
    emit({.action = ForkAction::end_placeholder, .vessel = placeholder});
  }
}

std::optional<ForkConflict> find_fork_conflict(const std::vector<TaskNode>& tree) {
  std::vector<ForkRequest> wanted;
  for (const TaskNode& task : tree) wanted.push_back({.task = task, .replaced = true});
  if (wanted.empty()) return std::nullopt;
  wanted.front().task.ppid = 0;
  std::vector<TaskNode> nodes = tree;
  nodes.front().ppid = 0;
  if (!why_no_tree(nodes).empty()) return std::nullopt;
  try {
    ForkPlanner planner;
    planner.follow(std::move(wanted));
    planner.finish();
  } catch (const Error& error) {
    return ForkConflict{error.pid() != 0 ? error.pid() : tree.front().pid, error.reason(), error.hint()};
  }
  return std::nullopt;
}

}  // namespace crx
