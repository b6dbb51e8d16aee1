// Notices that processes of a running tree have come or gone between two looks at it, also those that did both.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "agent-src/tree/process_tree.hpp"

namespace crx {

// What a process stores into memory that it shares with its parent leaves marks in its own page tables only, and these
// end with it, or with its program (exec). Nobody counts the forks of a tree, but whoever waits for a child inherits
// its count of page faults, and no child lives without one (wait_task_zombie in kernel/exit.c). A process that ignores
// SIGCHLD inherits nothing: there the number that was given out last tells whether anybody was born on this host. Nor
// does one with SA_NOCLDWAIT, which is only known once the process has been asked: see births(). Single-threaded.
class ProcessChurn {
 public:
  // The number that was given out last in our PID namespace or below it (proc_loadavg(5)).
  static std::string last_born();
  // Whether anybody came or went since the last look; false at the first. `tree`: the whole of it, zombies and newborn
  // too; `born`: last_born() before it was listed.
  bool look(const std::vector<TaskNode>& tree, const std::string& born);
  // Whether anybody was born on this host between the first look and the last.
  bool births() const { return last_born_ != first_born_; }
  // The process is not followed yet: it comes when it is seen again.
  void forget(pid_t pid) { known_.erase(pid); }

 private:
  struct Known {
    uint64_t start_ticks = 0;
    uint64_t child_faults = 0;
    bool dead = false;
  };
  std::map<pid_t, Known> known_;
  std::string first_born_, last_born_;  // empty before the first look
};

}  // namespace crx
