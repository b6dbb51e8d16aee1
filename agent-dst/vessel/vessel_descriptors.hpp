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

// A vessel's table starts with one descriptor, engine_pidfd: a pidfd of the engine, by which the vessel gets duplicates
// of the engine's own descriptors (pidfd_getfd(2)). plan_* add the calls for that to a batch of the vessel's leader and
// run nothing; they note which numbers are taken as if the batch had run, so a batch that fails leaves a vessel that
// can only be destroyed. The calls need the agent's privileges in the vessel, which credentials take away.
class VesselDescriptors {
 public:
  // For the first vessel of a tree, to be made before its process: opens the engine's pidfd here, which the process
  // inherits. Error(kernel) where the limit of open files leaves no number for it.
  explicit VesselDescriptors(VesselCalls& calls);
  // For a process that was forked by the owner of `from`. shares: the table is one for both (CLONE_FILES), otherwise a
  // copy as it is now.
  VesselDescriptors(VesselCalls& calls, const VesselDescriptors& from, bool shares);

  // Before numbers up to `highest` are filled: engine_pidfd is moved behind them (at most two calls).
  void plan_way(RemoteBatch& batch, int highest);
  // The calls that give the vessel a duplicate of our descriptor `fd` as its number `target`, open until the batch ran
  // (at most five calls: pidfd_getfd, dup3, close, and two where engine_pidfd is in the way).
  void plan_inject(RemoteBatch& batch, int fd, int target, bool cloexec);
  // One call that gives it a duplicate at lowest_free(); returns the index of the call, whose result is the number. The
  // number is not noted as taken: the caller closes it in the vessel.
  std::size_t plan_borrow(RemoteBatch& batch, int fd);
  // The last: closes engine_pidfd. False, and nothing is added, where another who shares the table has done so.
  bool plan_close(RemoteBatch& batch);

  // The number that the next descriptor gets.
  int lowest_free() const { return table_->lowest_free(); }
  // Under which number the vessel has engine_pidfd.
  int engine_pidfd() const noexcept { return table_->engine_pidfd; }
  // Our descriptor of what the vessel gets when it opens a path (flags of open(2), CLOEXEC is added): for files that
  // depend on who opens them, as /dev/tty. Throws Error(kernel).
  Fd open_as(const std::string& path, int flags);
  // The vessel has called unshare(CLONE_FILES): from here on the table is its own.
  void unshare();

 private:
  struct Table {
    int engine_pidfd = -1;
    bool is_open = true;  // engine_pidfd
    std::set<int> taken;  // numbers, without engine_pidfd's
    int lowest_free() const;
  };
  void move_engine_pidfd(RemoteBatch& batch, int number);

  VesselCalls& calls_;
  Fd own_pidfd_;                  // of ourselves, inherited by the first vessel; empty in all others
  std::shared_ptr<Table> table_;  // one for all that share descriptors
};

}  // namespace crx
