#include "common/plan/forked_tree.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "common/base/error.hpp"

namespace crx {
namespace {

constexpr int kLastSignal = 64;
constexpr uint32_t kUnsharable = sharing::kDescriptors | sharing::kFilesystem;

const TaskNode* node_of(pid_t pid, const std::vector<TaskNode>& tasks) {
  const auto found = std::find_if(tasks.begin(), tasks.end(), [pid](const TaskNode& task) { return task.pid == pid; });
  return found == tasks.end() ? nullptr : &*found;
}

std::string on(pid_t vessel, const char* what) {
  return is_placeholder(vessel) ? fmt::format("placeholder {} {}", -vessel, what)
                                : fmt::format("process {} {}", vessel, what);
}

// Returns the process group of the root if the root does not lead it, otherwise 0. At the destination the agent's group
// replaces this group, and so its number is not compared.
pid_t outer_group(const std::vector<TaskNode>& tasks) {
  const TaskNode& root = tasks.front();
  return root.pgid == root.pid ? 0 : root.pgid;
}

}  // namespace

std::string why_no_tree(const std::vector<TaskNode>& tasks) {
  if (tasks.empty()) return "it has no processes";
  std::set<pid_t> known;
  for (const TaskNode& task : tasks) {
    const bool is_root = &task == &tasks.front();
    const bool placed = is_root ? task.ppid == 0 && !task.dead : known.contains(task.ppid);
    if (task.pid <= 0 || task.sid < 0 || task.pgid < 0 || !placed || !known.insert(task.pid).second ||
        task.exit_signal < 0 || task.exit_signal > kLastSignal) {
      return fmt::format("task {} has no place in it", task.pid);
    }
  }
  return {};
}

const ForkedTree::Process* ForkedTree::find(pid_t vessel) const {
  const auto found = processes_.find(vessel);
  return found == processes_.end() ? nullptr : &found->second;
}

const ForkedTree::Process& ForkedTree::at(pid_t vessel) const {
  const Process* process = find(vessel);
  if (process == nullptr) throw Error(ErrorCode::bug, "planning the forks", on(vessel, "is not there"));
  return *process;
}

std::vector<pid_t> ForkedTree::newest_first() const {
  std::vector<pid_t> names;
  for (const auto& [name, process] : processes_) names.push_back(name);
  std::sort(names.begin(), names.end(),
            [&](pid_t a, pid_t b) { return processes_.at(a).serial > processes_.at(b).serial; });
  return names;
}

std::vector<pid_t> ForkedTree::children_of(pid_t vessel) const {
  std::vector<pid_t> names;
  for (const auto& [name, process] : processes_) {
    if (process.parent == vessel) names.push_back(name);
  }
  return names;
}

std::string ForkedTree::apply(const ForkStep& step, const std::vector<TaskNode>& tasks) {
  if (step.action == ForkAction::make_root) return make_root(step.vessel, tasks);
  if (step.action == ForkAction::fork) return fork(step, tasks);
  const auto found = processes_.find(step.vessel);
  if (found == processes_.end()) return on(step.vessel, "is not there");
  Process& process = found->second;
  if (process.ended) return on(step.vessel, "has ended");
  switch (step.action) {
    case ForkAction::empty_root:
      if (process.parent != 0) return on(step.vessel, "is not the root");
      if (const TaskNode* node = node_of(step.vessel, tasks)) process.start_ticks = node->start_ticks;
      return {};
    case ForkAction::end_vessel:
      if (is_placeholder(step.vessel) || process.parent == 0) return on(step.vessel, "cannot be removed");
      if (!children_of(step.vessel).empty()) return on(step.vessel, "still has children");
      processes_.erase(found);
      return {};
    case ForkAction::lead_session:
      return lead_session(step.vessel, tasks);
    case ForkAction::adopt_orphans:
    case ForkAction::leave_orphans:
      process.adopts = step.action == ForkAction::adopt_orphans;
      return {};
    case ForkAction::end_placeholder:
      return end_placeholder(step.vessel);
    case ForkAction::unshare:
      return unshare(step);
    case ForkAction::enter_group:
      return enter_group(step);
    case ForkAction::end_zombie: {
      const TaskNode* node = node_of(step.vessel, tasks);
      if (node == nullptr || !node->dead) return on(step.vessel, "is not to be a zombie");
      if (!children_of(step.vessel).empty()) return on(step.vessel, "still has children");
      process.ended = true;
      return {};
    }
    default:
      return "the step is unknown";
  }
}

std::string ForkedTree::make_root(pid_t pid, const std::vector<TaskNode>& tasks) {
  if (!processes_.empty() || tasks.empty() || tasks.front().pid != pid) return on(pid, "cannot be the root");
  Process root;
  root.start_ticks = tasks.front().start_ticks;
  root.pid = pid;
  root.sid = tasks.front().sid;
  root.pgid = tasks.front().pgid;
  for (uint32_t& group : root.groups) group = next_group_++;
  root.serial = ++serial_;
  processes_[pid] = root;
  return {};
}

std::string ForkedTree::fork(const ForkStep& step, const std::vector<TaskNode>& tasks) {
  const Process* from = find(step.from);
  if (step.vessel == 0 || processes_.contains(step.vessel)) return on(step.vessel, "is there already");
  if (from == nullptr || from->ended) return on(step.from, "is not there and cannot fork");
  const TaskNode* node = node_of(step.vessel, tasks);
  if (!is_placeholder(step.vessel) && node == nullptr) return on(step.vessel, "is not in the tree");
  const bool shares_memory = (step.flags & sharing::kMemory) != 0;
  const bool bad_flags = (step.flags & ~sharing::kAll) != 0 ||
                         ((step.flags & sharing::kSignalHandlers) != 0 && !shares_memory) ||
                         (step.with_memory && shares_memory);
  if (bad_flags) return on(step.vessel, "cannot share that");
  // A sibling of the root would be a child of the agent, and so outside of the tree.
  if (step.as_sibling && from->parent == 0) return on(step.vessel, "would not be in the tree");
  Process made = *from;
  made.start_ticks = node == nullptr ? 0 : node->start_ticks;
  made.pid = is_placeholder(step.vessel) ? step.number : step.vessel;
  const bool taken = made.pid != 0 && std::any_of(processes_.begin(), processes_.end(),
                                                  [&](const auto& entry) { return entry.second.pid == made.pid; });
  if (made.pid < 0 || taken) return on(step.vessel, "cannot have its PID");
  if (!step.as_sibling) made.parent = step.from;
  made.adopts = false;
  for (std::size_t kind = 0; kind < sharing::kEach.size(); ++kind) {
    if ((step.flags & sharing::kEach[kind]) == 0) made.groups[kind] = next_group_++;
  }
  made.serial = ++serial_;
  processes_[step.vessel] = made;
  return {};
}

std::string ForkedTree::lead_session(pid_t vessel, const std::vector<TaskNode>& tasks) {
  Process& process = processes_.at(vessel);
  const TaskNode* node = node_of(vessel, tasks);
  const bool wanted = is_placeholder(vessel) || (node != nullptr && node->sid == node->pid);
  if (!wanted || process.pid == 0 || process.pgid == process.pid) return on(vessel, "cannot lead a session");
  process.sid = process.pgid = process.pid;
  return {};
}

// The nearest subreaper above adopts the orphans (find_new_reaper() in kernel/exit.c).
std::string ForkedTree::end_placeholder(pid_t vessel) {
  if (!is_placeholder(vessel)) return on(vessel, "is not a placeholder");
  const std::vector<pid_t> orphans = children_of(vessel);
  pid_t adopter = processes_.at(vessel).parent;
  while (!orphans.empty() && adopter != 0 && !processes_.at(adopter).adopts) adopter = processes_.at(adopter).parent;
  if (adopter == 0) return on(vessel, "has children that nobody in the tree adopts");
  for (const pid_t orphan : orphans) processes_.at(orphan).parent = adopter;
  processes_.erase(vessel);
  return {};
}

std::string ForkedTree::unshare(const ForkStep& step) {
  if (step.flags == 0 || (step.flags & ~kUnsharable) != 0) return on(step.vessel, "cannot leave that");
  Process& process = processes_.at(step.vessel);
  for (std::size_t kind = 0; kind < sharing::kEach.size(); ++kind) {
    if ((step.flags & sharing::kEach[kind]) != 0) process.groups[kind] = next_group_++;
  }
  return {};
}

// Follows setpgid(2): a process may enter a group of its own, or one that exists in its session; a session's leader may
// not enter any.
std::string ForkedTree::enter_group(const ForkStep& step) {
  Process& process = processes_.at(step.vessel);
  const bool own = process.pid != 0 && step.number == process.pid;
  const bool there = std::any_of(processes_.begin(), processes_.end(), [&](const auto& entry) {
    return entry.second.sid == process.sid && entry.second.pgid == step.number;
  });
  if (step.number <= 0 || (!own && !there) || process.sid == process.pid)
    return on(step.vessel, fmt::format("cannot enter group {}", step.number).c_str());
  process.pgid = step.number;
  return {};
}

std::string ForkedTree::difference_of(const TaskNode& task, pid_t outer, bool finished) const {
  const Process* process = find(task.pid);
  if (process == nullptr) return task.dead && !finished ? std::string() : on(task.pid, "is missing");
  if (process->parent != task.ppid) return on(task.pid, "has another parent");
  if (process->start_ticks != task.start_ticks) return on(task.pid, "is another process");
  if (finished && process->ended != task.dead) return on(task.pid, "has not ended as it should, or has");
  // A zombie's session is not compared: it may have been forked before its parent created one, and nothing shows which
  // session it is in.
  if (task.dead) return {};
  if (process->sid != task.sid) return on(task.pid, "is in another session");
  if (finished && process->pgid != task.pgid && task.pgid != 0 && task.pgid != outer)
    return on(task.pid, "is in another process group");
  return {};
}

// Checks, for each kind of resource, that exactly those processes share it whose nodes say so.
std::string ForkedTree::sharing_difference(const std::vector<TaskNode>& tasks) const {
  for (std::size_t kind = 0; kind < sharing::kEach.size(); ++kind) {
    std::map<uint32_t, uint32_t> made_of, node_of_group;
    for (const TaskNode& task : tasks) {
      if (task.dead) continue;
      const uint32_t wanted = task.groups[kind], made = at(task.pid).groups[kind];
      const auto [one, is_new] = made_of.emplace(wanted, made);
      const auto [other, is_new_too] = node_of_group.emplace(made, wanted);
      if (one->second != made || other->second != wanted) return on(task.pid, "does not share what it should");
    }
  }
  return {};
}

std::string ForkedTree::difference(const std::vector<TaskNode>& tasks, bool finished) const {
  std::set<pid_t> known;
  for (const TaskNode& task : tasks) {
    known.insert(task.pid);
    if (std::string why = difference_of(task, outer_group(tasks), finished); !why.empty()) return why;
  }
  for (const auto& [name, process] : processes_) {
    if (!known.contains(name)) return on(name, "is left over");
    if (process.adopts) return on(name, "still adopts orphans");
  }
  return finished ? sharing_difference(tasks) : std::string();
}

}  // namespace crx
