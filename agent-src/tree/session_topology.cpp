#include "agent-src/tree/session_topology.hpp"

#include <algorithm>
#include <map>

namespace crx {
namespace {

class Places {
 public:
  explicit Places(const std::vector<TaskNode>& tree) {
    for (const TaskNode& task : tree) by_pid_[task.pid] = &task;
  }

  // Whether the task's parent is in another session, so that it did not inherit the session from there.
  bool is_topmost(const TaskNode& task) const {
    const auto parent = by_pid_.find(task.ppid);
    return parent == by_pid_.end() || parent->second->sid != task.sid;
  }
  bool has_leader(pid_t sid) const { return by_pid_.contains(sid); }
  bool is_at_or_above(pid_t above, pid_t pid) const {
    for (auto at = by_pid_.find(pid); at != by_pid_.end(); at = by_pid_.find(at->second->ppid)) {
      if (at->first == above) return true;
    }
    return false;
  }

 private:
  std::map<pid_t, const TaskNode*> by_pid_;
};

}  // namespace

std::vector<SessionConflict> session_conflicts(const std::vector<TaskNode>& tree) {
  const Places places(tree);
  std::map<pid_t, std::vector<const TaskNode*>> tops;
  for (const TaskNode& task : tree) {
    // A session that the root is in but does not lead is that of the root's launcher.
    if (!task.dead && task.sid != tree.front().sid && !places.has_leader(task.sid) && places.is_topmost(task))
      tops[task.sid].push_back(&task);
  }
  std::vector<SessionConflict> found;
  for (const auto& [sid, members] : tops) {
    const auto apart = [&](const TaskNode* a, const TaskNode* b) {
      return !places.is_at_or_above(a->ppid, b->ppid) && !places.is_at_or_above(b->ppid, a->ppid);
    };
    for (auto one = members.begin(); one != members.end(); ++one) {
      const auto other = std::find_if(one + 1, members.end(), [&](const TaskNode* task) { return apart(*one, task); });
      if (other == members.end()) continue;
      found.push_back({sid, (*one)->pid, (*other)->pid});
      break;
    }
  }
  return found;
}

}  // namespace crx
