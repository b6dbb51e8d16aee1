// What of a running tree cannot be moved or dumped, as far as it can be seen from outside; besides inspect_tree(),
// which asks the collectors. Nothing is stopped or touched.
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

// Reads the mappings of these tasks into map_of's maps and adds what of them cannot move to `refusals`. Returns those
// that have ended meanwhile; the mappings of a root that is refused already are not needed, and may be unreadable (a
// kernel thread has none). Throws Error where the root has ended or mappings cannot be read.
std::vector<pid_t> inspect_mappings(pid_t root, const std::vector<TaskNode>& tasks,
                                    const std::function<MemoryMap&(pid_t)>& map_of, std::vector<Refusal>& refusals);

// The systemd unit that would start the program again when the original ends; with UnitPolicy::refuse it is added to
// `refusals`. Takes some milliseconds.
std::optional<SystemdUnit> inspect_unit(const std::vector<TaskNode>& tasks, UnitPolicy policy,
                                        std::vector<Refusal>& refusals);

}  // namespace crx
