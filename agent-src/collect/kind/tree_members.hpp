// Which processes move, from a collector's context.
#pragma once

#include <sys/types.h>

#include <vector>

#include "agent-src/collect/kind/collector.hpp"

namespace crx {

// Returns the PIDs of all tasks that are no zombies, in the order of the tree.
inline std::vector<pid_t> living(const std::vector<TaskNode>& tree) {
  std::vector<pid_t> pids;
  for (const TaskNode& task : tree) {
    if (!task.dead) pids.push_back(task.pid);
  }
  return pids;
}

// Returns the living processes of the tree, the root first.
inline std::vector<pid_t> tree_members_of(const InspectContext& context) {
  return living(context.tree);
}
inline std::vector<pid_t> tree_members_of(const CollectContext& context) {
  return living(context.tree.members());
}

}  // namespace crx
