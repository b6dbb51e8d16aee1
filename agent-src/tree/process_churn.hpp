// Notices that processes of a running tree were forked or have ended between two looks, including those that did both.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>

#include "agent-src/tree/process_tree.hpp"

namespace crx {

// A process that writes memory which it shares with its parent leaves marks in its own page tables only, and these
// disappear when it ends or calls execve. The kernel keeps no count of a tree's forks. But a process that waits for a
// child adds the child's page faults to a count of its own, and every child has some (wait_task_zombie in
// kernel/exit.c). A process that ignores SIGCHLD adds nothing; for such a process the number that was assigned last
// tells whether any process was forked on this host. The same holds for SA_NOCLDWAIT, which is known only after the
// process was asked: see births(). Single-threaded.
class ProcessChurn {
 public:
  // Returns whether processes were forked or have ended since the last look; false at the first look. `tree`: the whole
  // tree, with zombies and new processes.
  bool look(const TreeSnapshot& tree);
  // Whether any process was forked on this host between the first look and the last.
  bool births() const { return last_born_ != first_born_; }
  // Removes a process that is not tracked yet, so that it counts as new when it is seen again.
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
