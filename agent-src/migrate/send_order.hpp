// In which order tasks are sent to the destination, so that it can fork a vessel from another one that already has the
// memory which the two share.
#pragma once

#include <sys/types.h>

#include <map>
#include <set>
#include <vector>

#include "agent-src/migrate/precopy_tree.hpp"
#include "common/plan/fork_plan.hpp"

namespace crx {

// For one round, or for the stop, after all spaces have been scanned and before any is sent. First come the tasks that
// have vessels. Then, wave by wave, come new tasks whose parents have been sent with their pages: each starts with the
// memory of the parent or sibling with which it shares most (ForkRequest::memory_donor). Single-threaded.
class SendOrder {
 public:
  // The list of tasks must not change while this object is used.
  explicit SendOrder(PrecopyTree& tree);

  // Returns the next wave in the order of the tree, and sets memory_donor of its new tasks; the pages of the waves
  // before must have been sent. Zombies come with their parents. Empty when all tasks have been scheduled.
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
  std::vector<const TaskNode*> nodes_;  // of all tasks
  std::set<pid_t> scheduled_;
  std::vector<PrecopyTask*> wave_;
};

}  // namespace crx
