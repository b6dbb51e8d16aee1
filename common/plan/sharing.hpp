// Plans how processes that share what fork normally copies (clone(2) without CLONE_THREAD) are forked again.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/kernel/process/kcmp.hpp"

namespace crx {

// A process of a tree and the resources that it shares.
struct SharingTask {
  pid_t pid = 0;
  pid_t ppid = 0;
  bool dead = false;
  // Group numbers for memory, descriptors, filesystem and signal handlers (the order of sharing::); processes that
  // share a resource have equal numbers.
  std::array<uint32_t, 4> groups{};

  // --- set by plan_sharing() ---
  // The sibling (a child of the same parent) that clones this process with CLONE_PARENT, because the parent does not
  // have the resource that the two share; 0 when the parent clones it.
  pid_t cloner = 0;
  uint32_t clone_flags = 0;  // resources shared with the cloner (or parent) at clone time: bits of sharing::
  // The part of these resources, or of those that its children are cloned with, that the process only hands down and
  // must separate from afterwards (unshare(2)). Memory and signal handlers cannot be separated.
  uint32_t unshare_flags = 0;
};

// `pid` shares `what` (bits of sharing::) with `other`, and no order of clone and unshare calls achieves that.
struct SharingConflict {
  pid_t pid = 0, other = 0;
  uint32_t what = 0;
};

// `tasks` holds parents before their children, the root first. Fills in the second part of each task; the unshare calls
// take place when all processes have been cloned. Returns the conflicts; empty when the plan is complete.
std::vector<SharingConflict> plan_sharing(std::vector<SharingTask>& tasks);

}  // namespace crx
