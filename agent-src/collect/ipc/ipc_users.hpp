// Finds the System V objects that a tree uses, and the other processes that use them.
#pragma once

#include <sys/types.h>

#include <set>
#include <string>
#include <vector>

#include "agent-src/collect/kind/collector.hpp"
#include "common/kernel/ipc/sysv_ipc.hpp"

namespace crx {

// A process uses a segment that it has attached, or was the last to create or attach; a semaphore set if it was the
// last to change one of the values; a queue if it was the last to send or receive; and any object that it waits for.
// Numbers of processes that have ended since, or that were reused, do not count. A set or queue that has not been used
// since it was made names no process: it counts as the tree's, too, if a user of the tree made it after the tree began.
struct SysvUse {
  struct Segment {
    SysvSegment status;
    bool mapped = false;           // by a process of the tree
    uint64_t huge_page_bytes = 0;  // of a mapped segment in huge pages, otherwise 0
  };
  std::vector<Segment> segments;
  std::vector<SysvSet> sets;
  std::vector<SysvQueue> queues;
  std::vector<Refusal> refusals;  // for objects that a process outside uses, too
};

// A thread that waits in a system call on a set or a queue.
struct SysvWaiter {
  SysvKind kind;
  int id;
};

// tree: its living processes. waiters: from one of the two functions below.
SysvUse find_sysv_use(const std::vector<pid_t>& tree, const std::vector<SysvWaiter>& waiters);
// Finds waiting threads of a running tree in /proc/PID/task/TID/syscall.
std::vector<SysvWaiter> running_waiters(const std::vector<pid_t>& tree);
// Finds waiting threads of a frozen tree by their registers, also if the stop has interrupted the call.
std::vector<SysvWaiter> stopped_waiters(const FrozenTree& tree);

}  // namespace crx
