#include "agent-src/recover/lock_recovery.hpp"

#include <algorithm>
#include <exception>

#include "agent-src/collect/files/tree_locks.hpp"
#include "agent-src/freeze/frozen_tree.hpp"
#include "common/base/error.hpp"
#include "common/kernel/introspect/kernel_view.hpp"

namespace crx {
namespace {

constexpr char kLocksStep[] = "taking file locks back";
constexpr int64_t kStopMs = 5'000;

void check_tasks(FrozenTree& tree, const std::vector<HeldLock>& locks) {
  const auto missing =
      std::find_if(locks.begin(), locks.end(), [&](const HeldLock& lock) { return tree.find(lock.pid) == nullptr; });
  if (missing != locks.end())
    throw Error(ErrorCode::refused, kLocksStep, "the process that had one of them is gone").with_pid(missing->pid);
}

}  // namespace

void take_locks_back(FreezerGroup& group, pid_t root, const std::vector<HeldLock>& locks) {
  if (!group.directory() && group.is_frozen())
    throw Error(ErrorCode::refused, kLocksStep, "a task that version 1 of control groups has frozen cannot be stopped")
        .with_pid(root);
  KernelView kernel;
  FrozenTree tree = FrozenTree::freeze(root, Deadline::in_ms(kStopMs), kernel);
  check_tasks(tree, locks);
  CallSites sites;
  TreeLocks handover(tree, sites);
  group.thaw();
  try {
    handover.inherit(locks);
    handover.take_back();
  } catch (const std::exception&) {
    // The destructors would let it run.
    handover.disown();
    group.freeze(Deadline::in_ms(kStopMs));
    throw;
  }
  tree.thaw();
}

}  // namespace crx
