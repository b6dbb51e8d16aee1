#include "agent-src/tree/process_churn.hpp"

#include <utility>

namespace crx {

bool ProcessChurn::look(const TreeSnapshot& tree) {
  const std::string& born = tree.last_born;
  const bool first = first_born_.empty();
  if (first) first_born_ = born;
  const bool births = born != last_born_;
  bool changed = false;
  std::map<pid_t, Known> now;
  for (const TaskNode& task : tree.tasks) {
    const ChildTraces& traces = tree.traces.at(task.pid);
    now[task.pid] = {task.start_ticks, traces.faults, task.dead};
    const auto was = known_.find(task.pid);
    if (was == known_.end() || was->second.start_ticks != task.start_ticks || was->second.dead != task.dead ||
        was->second.child_faults != traces.faults || (traces.ignores_sigchld && births)) {
      changed = true;
    }
  }
  for (const auto& [pid, was] : known_) changed = changed || !now.contains(pid);
  known_ = std::move(now);
  last_born_ = born;
  return changed && !first;
}

}  // namespace crx
