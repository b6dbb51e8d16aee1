// One step by which the destination makes a tree of processes. A fork plan (fork_plan.hpp) is a list of such steps.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <vector>

namespace crx {

enum class ForkAction : uint8_t {
  make_root = 1,        // `vessel`, the root of the tree, is made; it leads its session and group where its node does
  empty_root = 2,       // the root's address space is emptied, since it runs another program now
  fork = 3,             // `from` forks `vessel`, as a child or (as_sibling) with CLONE_PARENT
  end_vessel = 4,       // `vessel` ends and is reaped: its process has ended, or was replaced by another one
  lead_session = 5,     // `vessel` calls setsid(2)
  adopt_orphans = 6,    // `vessel` becomes a subreaper, which adopts orphans below it (PR_SET_CHILD_SUBREAPER)
  leave_orphans = 7,    // `vessel` is no longer a subreaper
  end_placeholder = 8,  // `vessel`, a placeholder, ends and is reaped; a subreaper adopts its children
  unshare = 9,          // `vessel` stops sharing the resources in `flags` (unshare(2))
  enter_group = 10,     // `vessel` enters process group `number` (setpgid(2))
  end_zombie = 11,      // `vessel` ends as its node says and stays a zombie
};
inline constexpr ForkAction kLastForkAction = ForkAction::end_zombie;

// Vessels are named by the PIDs of their tasks, placeholders by negative numbers that are valid within one plan. A
// placeholder is a process that lives only while the plan is executed: it orphans other processes, or leads a session
// or group that they enter.
struct ForkStep {
  ForkAction action = ForkAction::fork;
  pid_t vessel = 0;
  pid_t from = 0;      // fork
  pid_t number = 0;    // fork of a placeholder: its PID, 0 for any; enter_group: the group
  uint32_t flags = 0;  // fork: the resources that are shared; unshare: those that no longer are (bits of sharing::)
  bool as_sibling = false;
  bool with_memory = false;  // fork: starts with the layout and the pages of `from`, copy-on-write

  bool operator==(const ForkStep&) const = default;
};

using ForkPlan = std::vector<ForkStep>;

constexpr bool is_placeholder(pid_t vessel) noexcept {
  return vessel < 0;
}

}  // namespace crx
