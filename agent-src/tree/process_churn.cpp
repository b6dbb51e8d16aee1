#include "agent-src/tree/process_churn.hpp"

#include <utility>

#include "common/base/fd.hpp"

namespace crx {

std::string ProcessChurn::last_born() {
  const std::string text = read_file("/proc/loadavg");
  return text.substr(text.rfind(' ') + 1);
}

bool ProcessChurn::look(const std::vector<TaskNode>& tree, const std::string& born) {
  const bool first = first_born_.empty();
  if (first) first_born_ = born;
  const bool births = born != last_born_;
  bool changed = false;
  std::map<pid_t, Known> now;
  for (const TaskNode& task : tree) {
    now[task.pid] = {task.start_ticks, task.child_faults, task.dead};
    const auto was = known_.find(task.pid);
    if (was == known_.end() || was->second.start_ticks != task.start_ticks || was->second.dead != task.dead ||
        was->second.child_faults != task.child_faults || (task.ignores_children && births)) {
      changed = true;
    }
  }
  for (const auto& [pid, was] : known_) changed = changed || !now.contains(pid);
  known_ = std::move(now);
  last_born_ = born;
  return changed && !first;
}

}  // namespace crx
