// A process and its place in the tree that moves, as source, wire and destination know it.
#pragma once

#include <sys/types.h>

#include <array>
#include <compare>
#include <csignal>
#include <cstdint>
#include <string>

#include "common/kernel/process/kcmp.hpp"

namespace crx {

// Names one process for good: its PID alone is given to another process later.
struct TaskId {
  pid_t pid = 0;
  uint64_t start_ticks = 0;  // when it started, in clock ticks since boot (proc_pid_stat(5)); 0 where nobody knows

  auto operator<=>(const TaskId&) const = default;
};

// All PIDs are those of the source's PID namespace (the image set's), which the destination makes again.
struct TaskNode : TaskId {
  pid_t ppid = 0;  // of the root: a process outside of the tree at the source, 0 on the wire and at the destination
  pid_t pgid = 0;
  pid_t sid = 0;
  bool dead = false;  // a zombie: only its exit code and name are left
  int exit_code = 0;  // of a zombie, as waitpid(2) gives it
  std::string comm;   // of a zombie: needed to make it again; otherwise for messages
  uint32_t terminal =
      0;  // of a session leader: the number of its controlling terminal under /dev/pts, plus one; 0: none
  int exit_signal = SIGCHLD;  // sent to its parent when it ends (clone(2)); 0: none
  // Memory, descriptors, filesystem (cwd, root, umask), signal handlers, in the order of the bits of sharing::: equal
  // numbers for those who share it.
  std::array<uint32_t, 4> groups{};

  // --- how it is forked, set by plan_sharing(); not sent ---
  // The sibling (a child of the same parent) that clones this process with CLONE_PARENT, because the parent does not
  // have the resource that the two share; 0 when the parent clones it.
  pid_t cloner = 0;
  uint32_t clone_flags = 0;  // resources shared with the cloner (or parent) at clone time: bits of sharing::
  // The part of these resources, or of those that its children are cloned with, that the process only hands down and
  // must separate from afterwards (unshare(2)). Memory and signal handlers cannot be separated.
  uint32_t unshare_flags = 0;

  // The PID of the process that forks it.
  pid_t made_by() const noexcept { return cloner != 0 ? cloner : ppid; }
  bool shares_memory() const noexcept { return (clone_flags & sharing::kMemory) != 0; }

  // The same process, forked by the same one at the same place: a vessel that was made for `other` serves it, too.
  bool same_place(const TaskNode& other) const noexcept {
    return static_cast<const TaskId&>(*this) == static_cast<const TaskId&>(other) && ppid == other.ppid &&
           sid == other.sid && dead == other.dead && terminal == other.terminal && cloner == other.cloner &&
           clone_flags == other.clone_flags && unshare_flags == other.unshare_flags;
  }
};

}  // namespace crx
