// Plans how to fork processes that share resources which fork(2) normally copies (clone(2) without CLONE_THREAD).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "common/plan/task_node.hpp"

namespace crx {

// Says that `pid` shares the resources `what` (bits of sharing::) with `other`, but no order of clone(2) and unshare(2)
// calls achieves that.
struct SharingConflict {
  pid_t pid = 0, other = 0;
  uint32_t what = 0;
};

// Sets cloner, clone_flags and unshare_flags of each task from its groups. tasks: parents before their children, the
// root first. The unshare(2) calls take place when all processes have been cloned. Returns the conflicts; the list is
// empty when the plan is complete.
std::vector<SharingConflict> plan_sharing(std::vector<TaskNode>& tasks);

}  // namespace crx
