// Inspects a running tree from outside for mappings and systemd units that cannot be moved or dumped. inspect_tree()
// asks the collectors for the rest. No process is stopped or touched.
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <vector>

#include "agent-src/collect/kind/collector.hpp"
#include "agent-src/collect/memory/memory_map.hpp"
#include "agent-src/tool/systemd_unit.hpp"
#include "agent-src/tree/process_tree.hpp"

namespace crx {

// Reads the mappings of these tasks into the maps of map_of and adds reasons why they cannot move to `refusals`.
// Returns the tasks that have ended in the meantime. The mappings of a root that is refused already are not needed and
// may be unreadable (a kernel thread has none). Throws Error if the root has ended or mappings cannot be read.
std::vector<pid_t> inspect_mappings(pid_t root, const std::vector<TaskNode>& tasks,
                                    const std::function<MemoryMap&(pid_t)>& map_of, std::vector<Refusal>& refusals);

// Returns the systemd unit that would start the program again when the original ends, or nullopt. With
// UnitPolicy::refuse it adds the unit to `refusals`. Takes some milliseconds.
std::optional<SystemdUnit> inspect_unit(const std::vector<TaskNode>& tasks, UnitPolicy policy,
                                        std::vector<Refusal>& refusals);

}  // namespace crx
