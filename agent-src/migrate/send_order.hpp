// In which order the destination is told of tasks, so that it can fork a vessel out of another one that has the memory
// which both share.
#pragma once

#include <sys/types.h>

#include <map>
#include <set>
#include <vector>

#include "agent-src/migrate/precopy_tree.hpp"

namespace crx {

// Of one round, or of the stop: all spaces have been scanned, none is sent yet. First come the tasks that have vessels,
// then, wave by wave, those that are new and whose parents have been told and sent: with the memory of a parent or
// sibling (wire::TaskNode.inherits), whichever they share most with. Single-threaded.
class SendOrder {
 public:
  explicit SendOrder(PrecopyTree& tree) : tree_(tree) {}

  // The next ones to be told, in the order of the tree; what was told before must have been sent. Zombies come with
  // their parents. Empty when all have been told. PrecopyTask::inherits is set of the new ones.
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
  bool bears_orphans(const PrecopyTask& task, const PrecopyTask& parent);
  Donor best_donor(const PrecopyTask& task, const PrecopyTask& parent);
  uint64_t shared(const PrecopyTask& task, const PrecopyTask& donor, const PrecopyTask& parent);

  PrecopyTree& tree_;
  std::set<pid_t> scheduled_;
  std::vector<PrecopyTask*> wave_;
};

}  // namespace crx
