// Plans how processes that share what fork normally copies (clone(2) without CLONE_THREAD) are forked again.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "common/plan/task_node.hpp"

namespace crx {

// `pid` shares `what` (bits of sharing::) with `other`, and no order of clone and unshare calls achieves that.
struct SharingConflict {
  pid_t pid = 0, other = 0;
  uint32_t what = 0;
};

// `tasks` holds parents before their children, the root first. Sets cloner, clone_flags and unshare_flags of each from
// the groups; the unshare calls take place when all processes have been cloned. Returns the conflicts; empty when the
// plan is complete.
std::vector<SharingConflict> plan_sharing(std::vector<TaskNode>& tasks);

}  // namespace crx
