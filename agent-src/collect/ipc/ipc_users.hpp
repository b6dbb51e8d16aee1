// Which System V objects a tree uses, and who else does.
#pragma once

#include <sys/types.h>

#include <set>
#include <string>
#include <vector>

#include "agent-src/collect/kind/collector.hpp"
#include "common/kernel/ipc/sysv_ipc.hpp"

namespace crx {

// A process uses a segment that it has attached, or that it made or attached last; a semaphore set where it was the
// last to change one of the values, a queue where it was the last to send or to receive; and what it waits for. Numbers
// of processes that have ended since, or that were given anew, count for nothing. A set or queue that nobody has used
// since it was made tells nobody: it is taken to be the tree's, too, where a user of the tree made it after the tree
// began.
struct SysvUse {
  struct Segment {
    SysvSegment status;
    bool mapped = false;           // by the tree
    uint64_t huge_page_bytes = 0;  // of one that is mapped and lies in huge pages
  };
  std::vector<Segment> segments;
  std::vector<SysvSet> sets;
  std::vector<SysvQueue> queues;
  std::vector<Refusal> refusals;  // of those that a process outside uses, too
};

// A thread that waits in a call about a set or a queue.
struct SysvWaiter {
  SysvKind kind;
  int id;
};

// tree: its processes that are alive. waiters: as found by one of the two below.
SysvUse find_sysv_use(const std::vector<pid_t>& tree, const std::vector<SysvWaiter>& waiters);
std::vector<SysvWaiter> running_waiters(const std::vector<pid_t>& tree);
std::vector<SysvWaiter> stopped_waiters(const FrozenTree& tree);

}  // namespace crx
