// Where in a tree the members of a session are that has lost its leader.
#pragma once

#include <sys/types.h>

#include <vector>

#include "agent-src/tree/process_tree.hpp"

namespace crx {

// Two processes of one session whose leader is no longer in the tree, neither of whose parents is above the other's: a
// session begins in one place when it is made again, and is handed down from there.
struct SessionConflict {
  pid_t sid = 0;
  pid_t pid = 0, other = 0;
};

// At most one for each session. tree: parents before their children.
std::vector<SessionConflict> session_conflicts(const std::vector<TaskNode>& tree);

}  // namespace crx
