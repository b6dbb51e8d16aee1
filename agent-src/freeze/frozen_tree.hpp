// A whole tree while it is stopped: every process is under ptrace, and the state is that of one moment.
#pragma once

#include <sys/types.h>

#include <map>
#include <memory>
#include <vector>

#include "agent-src/freeze/frozen_task.hpp"
#include "agent-src/tree/process_tree.hpp"
#include "common/base/clock.hpp"
#include "common/kernel/introspect/kernel_view.hpp"

namespace crx {

// Owns the stop of all processes; the destructor releases every one (see FrozenTask). Single-threaded.
class FrozenTree {
 public:
  // Stops the root, then its children, and so on; a stopped process has no new children, so this ends. Processes that
  // fork, call execve or end meanwhile are handled as what they are then. A vfork parent cannot be stopped until its
  // child has called execve or ended; the child runs on until then. Throws Error(refused) that names the process that
  // cannot be stopped when the deadline passes, Error(victim_gone) if the root has ended; everything runs again then.
  static FrozenTree freeze(pid_t root, Deadline deadline, KernelView& kernel);
  FrozenTree(FrozenTree&&) noexcept = default;
  FrozenTree& operator=(FrozenTree&&) = delete;

  // Returns all processes as they were when the last one had been stopped.
  const TreeSnapshot& snapshot() const noexcept { return snapshot_; }
  // Returns the same processes, zombies included; parents before their children, the root first.
  const std::vector<TaskNode>& members() const noexcept { return snapshot_.tasks; }
  // Returns the living ones in the same order.
  std::vector<std::unique_ptr<FrozenTask>>& tasks() noexcept { return tasks_; }
  const std::vector<std::unique_ptr<FrozenTask>>& tasks() const noexcept { return tasks_; }
  FrozenTask& root() noexcept { return *tasks_.front(); }
  // nullptr if the tree has no living process of that number.
  FrozenTask* find(pid_t pid) noexcept;
  // Whether members() has this number, alive or a zombie.
  bool holds(pid_t pid) const noexcept;

  // The time at which the first thread was asked to stop (monotonic_us).
  int64_t stopped_since_us() const noexcept { return tasks_.front()->stopped_since_us(); }

  // The same as FrozenTask's calls, for all tasks. thaw() ends the stop by ptrace, not that of a frozen cgroup.
  // It releases all that can be released before it throws; a process that has been killed meanwhile is no error.
  void inject(CallSites& sites);
  void settle();
  void eject();
  void thaw();

 private:
  FrozenTree() = default;
  std::vector<FrozenTask*> all() const;
  bool stop_new(pid_t root, Deadline deadline, InterruptedCalls& calls);
  bool stop(const TaskNode& member, Deadline deadline, InterruptedCalls& calls);

  TreeSnapshot snapshot_;
  std::vector<std::unique_ptr<FrozenTask>> tasks_;
};

}  // namespace crx
