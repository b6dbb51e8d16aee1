#include "agent-src/snapshot/inspection.hpp"

#include <fmt/format.h>

#include "common/base/error.hpp"

namespace crx {

std::vector<pid_t> inspect_mappings(pid_t root, const std::vector<TaskNode>& tasks,
                                    const std::function<MemoryMap&(pid_t)>& map_of, std::vector<Refusal>& refusals) {
  std::vector<pid_t> ended;
  for (const TaskNode& task : tasks) {
    if (task.dead) continue;
    try {
      MemoryMap& map = map_of(task.pid);
      map.read();
      for (Refusal& refusal : map.refusals()) refusals.push_back(std::move(refusal));
    } catch (const Error& error) {
      if (task.pid == root && !refusals.empty()) break;
      if (task.pid == root || (error.code() != ErrorCode::victim_gone && !has_ended(task))) throw;
      ended.push_back(task.pid);
    }
  }
  return ended;
}

std::optional<SystemdUnit> inspect_unit(const std::vector<TaskNode>& tasks, UnitPolicy policy,
                                        std::vector<Refusal>& refusals) {
  std::optional<SystemdUnit> unit = find_restarting_unit(tasks);
  if (unit && policy == UnitPolicy::refuse)
    refusals.push_back({fmt::format("pid {}", unit->main_pid), restart_reason(*unit), kRestartRemedy});
  return unit;
}

}  // namespace crx
