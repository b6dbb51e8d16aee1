// Determines the order in which tasks are sent, so that the destination can fork a vessel from another one that already
// has the memory which both share.
#pragma once

#include <sys/types.h>

#include <map>
#include <set>
#include <vector>

#include "agent-src/migrate/precopy_tree.hpp"
#include "common/plan/fork_plan.hpp"

namespace crx {

// One object is used for one round or for the stop, after all spaces have been scanned and before any is sent. Tasks
// that have vessels come first. Then new tasks follow in waves, each task after the wave with its parent: it starts
// with the memory of the parent or sibling with which it shares the most pages (ForkRequest::memory_donor).
// Single-threaded.
class SendOrder {
 public:
  // `tree` must outlive this object, and its list of tasks must not change while this object is used.
  explicit SendOrder(PrecopyTree& tree);

  // Returns the next wave, in the order of the tree, and sets memory_donor of its new tasks. The pages of earlier waves
  // must have been sent. Zombies come with their parents. Returns an empty list when all tasks have been scheduled. The
  // tree owns the tasks.
  std::vector<PrecopyTask*> next();
  bool is_scheduled(pid_t pid) const noexcept { return scheduled_.contains(pid); }

 private:
  struct Donor {
    pid_t pid = 0;
    uint64_t pages = 0;
  };
  void schedule_first();
  void schedule(PrecopyTask& task, pid_t donor);
  void schedule_below(const PrecopyTask& task);
  void schedule_children(const PrecopyTask& parent);
  Donor best_donor(const PrecopyTask& task, const PrecopyTask& parent);
  uint64_t shared(const PrecopyTask& task, const PrecopyTask& donor, const PrecopyTask& parent);

  PrecopyTree& tree_;
  std::vector<const TaskNode*> nodes_;  // the places of all tasks
  std::set<pid_t> scheduled_;
  std::vector<PrecopyTask*> wave_;
};

}  // namespace crx
