// The file locks of a tree, handed over to the destination or taken back.
#pragma once

#include <memory>
#include <vector>

#include "agent-src/collect/files/file_locks.hpp"
#include "agent-src/freeze/frozen_tree.hpp"

namespace crx {

// The steps of LockHandover for all tasks of a tree.
class TreeLocks {
 public:
  // Tree and sites must outlive this object.
  TreeLocks(FrozenTree& tree, CallSites& sites) : tree_(tree), sites_(sites) {}
  // Sets the collected locks; to be called once, first.
  void set(const std::vector<img::file_lock_entry>& locks);
  // The same for locks that another process has released. Throws Error.
  void inherit(const std::vector<HeldLock>& locks);
  bool empty() const noexcept { return tasks_.empty(); }
  void release_leases();
  bool has_released_leases() const noexcept { return has_released_leases_; }
  void begin();
  void complete();
  std::vector<HeldLock> held(bool write_leases);
  void take_back();
  void disown() noexcept;

 private:
  FrozenTree& tree_;
  CallSites& sites_;
  std::vector<std::unique_ptr<LockHandover>> tasks_;
  bool has_released_leases_ = false;
};

}  // namespace crx
