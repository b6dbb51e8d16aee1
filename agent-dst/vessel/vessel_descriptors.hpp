// The descriptor table of a vessel.
#pragma once

#include <cstddef>
#include <memory>
#include <set>
#include <string>

#include "agent-dst/vessel/vessel_calls.hpp"
#include "common/base/fd.hpp"
#include "common/remote/batch.hpp"

namespace crx {

// A vessel's table starts with one descriptor, engine_pidfd: a pidfd of the engine. The vessel uses it to duplicate the
// engine's own descriptors into its table (pidfd_getfd(2)). The plan_* functions add the necessary calls to a batch of
// the vessel's leader and run nothing. They record which numbers are taken as if the batch had run, so that a vessel
// whose batch fails can only be destroyed. The calls need the agent's privileges, so they must run before the vessel
// takes on the task's credentials. Single-threaded.
class VesselDescriptors {
 public:
  // For the first vessel of a tree, before its process exists: opens the engine's pidfd in the engine, and the process
  // inherits it. Throws Error(kernel) where the limit of open files leaves no number for it.
  explicit VesselDescriptors(VesselCalls& calls);
  // For a process that the owner of `from` forks. shares: both share one table (CLONE_FILES); otherwise the process has
  // a copy of the table as it is now.
  VesselDescriptors(VesselCalls& calls, const VesselDescriptors& from, bool shares);

  // Moves engine_pidfd behind the numbers up to `highest`, so that they can be filled (at most two calls).
  void plan_way(RemoteBatch& batch, int highest);
  // Duplicates the engine's descriptor `fd` to number `target` of the vessel. `fd` must stay open until the batch has
  // run. At most five calls: pidfd_getfd, dup3, close, and two more where engine_pidfd occupies `target`.
  void plan_inject(RemoteBatch& batch, int fd, int target, bool cloexec);
  // Duplicates the engine's descriptor `fd` to lowest_free() of the vessel, by one call. Returns the index of that
  // call, whose result is the number. The number is not recorded as taken: the caller has to close it in the vessel.
  std::size_t plan_borrow(RemoteBatch& batch, int fd);
  // Closes engine_pidfd; no other plan_* call may follow. Returns false, and adds nothing, where another vessel that
  // shares the table has closed it already.
  bool plan_close(RemoteBatch& batch);

  // The number that the kernel gives to the vessel's next descriptor.
  int lowest_free() const { return table_->lowest_free(); }
  // The number of engine_pidfd in the vessel's table.
  int engine_pidfd() const noexcept { return table_->engine_pidfd; }
  // Opens a path in the vessel and returns the engine's own descriptor of the result: for files that depend on the
  // process that opens them, such as /dev/tty. flags: of open(2); O_CLOEXEC is added. Throws Error(kernel).
  Fd open_as(const std::string& path, int flags);
  // Records that the vessel has called unshare(CLONE_FILES): from here on the table is its own.
  void unshare();

 private:
  struct Table {
    int engine_pidfd = -1;
    bool is_open = true;  // whether engine_pidfd is open
    std::set<int> taken;  // numbers in use, without engine_pidfd's
    int all_taken = 0;    // every number below it is in `taken`
    int lowest_free() const;
    void take(int number);
  };
  void move_engine_pidfd(RemoteBatch& batch, int number);

  VesselCalls& calls_;
  Fd own_pidfd_;                  // the engine's pidfd of itself, which the first vessel inherits; empty in all others
  std::shared_ptr<Table> table_;  // one table for all vessels that share descriptors
};

}  // namespace crx
