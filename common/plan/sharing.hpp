// How processes that share what fork copies (clone(2) without CLONE_THREAD) can come into the world again.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/kernel/process/kcmp.hpp"

namespace crx {

// A process of a tree and what it shares.
struct SharingTask {
  pid_t pid = 0;
  pid_t ppid = 0;
  bool dead = false;
  // Memory, descriptors, filesystem, signal handlers (the order of sharing::): equal for those who share it.
  std::array<uint32_t, 4> groups{};

  // --- what plan_sharing() finds ---
  // A child of the same parent that clones it (CLONE_PARENT), since the parent does not have what they share; 0: the
  // parent does.
  pid_t cloner = 0;
  uint32_t clone_flags = 0;  // with its maker or parent at birth: bits of sharing::
  // Of these, or of what its children were born with: what it does not share in the end, but only hands down
  // (unshare(2)). Memory and signal handlers cannot be left.
  uint32_t unshare_flags = 0;
};

// `pid` shares `what` (bits of sharing::) with `other`, and no order of cloning and leaving gives them that.
struct SharingConflict {
  pid_t pid = 0, other = 0;
  uint32_t what = 0;
};

// Parents come before their children, the root first. Leavers leave when all have been born.
std::vector<SharingConflict> plan_sharing(std::vector<SharingTask>& tasks);

}  // namespace crx
