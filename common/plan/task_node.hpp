// A process and its place in the tree that moves. The source, the wire protocol and the destination all use this form.
#pragma once

#include <sys/types.h>

#include <array>
#include <compare>
#include <csignal>
#include <cstdint>
#include <string>

#include "common/kernel/process/kcmp.hpp"

namespace crx {

// Identifies one process unambiguously; a PID alone does not, since the kernel reuses it.
struct TaskId {
  pid_t pid = 0;
  uint64_t start_ticks = 0;  // when it started, in clock ticks since boot (proc_pid_stat(5)); 0 if unknown

  auto operator<=>(const TaskId&) const = default;
};

// All PIDs are those of the source's PID namespace (or of the image set); the destination uses the same ones.
struct TaskNode : TaskId {
  pid_t ppid = 0;  // of the root: a process outside of the tree at the source, 0 on the wire and at the destination
  pid_t pgid = 0;
  pid_t sid = 0;
  bool dead = false;  // a zombie: only its exit code and name are left
  int exit_code = 0;  // of a zombie, as waitpid(2) gives it
  std::string comm;   // its name: a zombie is made again with it; otherwise only for messages
  // The number of a session leader's controlling terminal under /dev/pts, plus one; 0: none.
  uint32_t terminal = 0;
  int exit_signal = SIGCHLD;  // sent to its parent when it ends (clone(2)); 0: none
  // One number each for memory, descriptors, filesystem (cwd, root, umask) and signal handlers, in the order of the
  // bits of sharing::. Processes that share a resource have equal numbers for it.
  std::array<uint32_t, 4> groups{};

  // --- how it is forked, set by plan_sharing(); not sent ---
  // The sibling (a child of the same parent) that clones this process with CLONE_PARENT, because the parent does not
  // have the resource that the two share; 0 when the parent clones it.
  pid_t cloner = 0;
  uint32_t clone_flags = 0;  // resources shared with the cloner (or parent) at clone time: bits of sharing::
  // Those resources, of clone_flags or shared with its children, that the process only hands down: afterwards it must
  // stop sharing them (unshare(2)). This is impossible for memory and signal handlers.
  uint32_t unshare_flags = 0;

  // Returns the PID of the process that forks this one.
  pid_t made_by() const noexcept { return cloner != 0 ? cloner : ppid; }
  bool shares_memory() const noexcept { return (clone_flags & sharing::kMemory) != 0; }

  // Returns whether this is the same process, forked by the same one at the same place, so that a vessel which was made
  // for `other` can be kept.
  bool same_place(const TaskNode& other) const noexcept {
    return static_cast<const TaskId&>(*this) == static_cast<const TaskId&>(other) && ppid == other.ppid &&
           sid == other.sid && dead == other.dead && terminal == other.terminal && cloner == other.cloner &&
           clone_flags == other.clone_flags && unshare_flags == other.unshare_flags;
  }
};

}  // namespace crx
