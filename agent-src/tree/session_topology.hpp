// Finds posix sessions without a leader whose members are at unrelated places of the tree.
#pragma once

#include <sys/types.h>

#include <vector>

#include "agent-src/tree/process_tree.hpp"

namespace crx {

// Two processes of one posix session whose leader is no longer in the tree, and neither of whose parents is an ancestor
// of the other's. The destination creates a session in one process, and only fork passes it on, so no order of forks
// rebuilds this.
struct SessionConflict {
  pid_t sid = 0;
  pid_t pid = 0, other = 0;
};

// Returns at most one conflict for each session. tree: parents before their children.
std::vector<SessionConflict> session_conflicts(const std::vector<TaskNode>& tree);

}  // namespace crx
