// Takes the file locks of a kept original back, which a crx-migrate that has ended had released.
#pragma once

#include <sys/types.h>

#include <vector>

#include "common/kernel/process/freezer_group.hpp"
#include "common/session/held_locks.hpp"

namespace crx {

// `group` is frozen and holds the tree of `root`. Stops the tree by ptrace, thaws the group, takes the locks, and lets
// the tree run; only the tasks themselves can take most locks. A lock that a task still has is taken again, which
// changes nothing. Throws Error(refused) if another process has taken one of them, if a task is missing, or if the
// kernel has only version 1 of control groups, in which a frozen task cannot be stopped; the group is frozen then, as
// before. Single-threaded: the caller becomes the tracer.
void take_locks_back(FreezerGroup& group, pid_t root, const std::vector<HeldLock>& locks);

}  // namespace crx
