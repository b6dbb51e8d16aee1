// In which order the destination is told of tasks, so that it can fork a vessel out of another one that has the memory which
// both share.
#pragma once

#include <sys/types.h>

#include <map>
#include <set>
#include <vector>

#include "agent-src/migrate/precopy_tree.hpp"

namespace crx {

// Of one round, or of the stop: all spaces have been scanned, none is sent yet. First come the tasks that have vessels, then,
// wave by wave, those that are new and whose parents have been told and sent: with the memory of a parent or sibling
// (wire::TaskPlace.inherits), whichever they share most with. Single-threaded.
class TellingOrder {
 public:
  explicit TellingOrder(MovingTree& tree) : tree_(tree) {}

  // The next ones to be told, in the order of the tree; what was told before must have been sent. Zombies come with their
  // parents. Empty when all have been told. MovingTask::inherits is set of the new ones.
  std::vector<MovingTask*> next();
  bool is_told(pid_t pid) const noexcept { return told_.contains(pid); }

 private:
  struct Donor {
    pid_t pid = 0;
    uint64_t pages = 0;
  };
  void tell_first();
  void tell(MovingTask& task, pid_t donor);
  void tell_below(const MovingTask& task);
  void tell_children(const MovingTask& parent);
  bool bears_orphans(const MovingTask& task, const MovingTask& parent);
  Donor best_donor(const MovingTask& task, const MovingTask& parent);
  uint64_t shared(const MovingTask& task, const MovingTask& donor, const MovingTask& parent);

  MovingTree& tree_;
  std::set<pid_t> told_;
  std::vector<MovingTask*> wave_;
};

}  // namespace crx
