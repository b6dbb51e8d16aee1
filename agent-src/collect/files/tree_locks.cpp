#include "agent-src/collect/files/tree_locks.hpp"

#include <utility>

namespace crx {

void TreeLocks::set(const std::vector<img::file_lock_entry>& locks) {
  for (const auto& task : tree_.tasks()) {
    std::vector<img::file_lock_entry> its;
    for (const img::file_lock_entry& lock : locks) {
      if (lock.pid() == task->pid()) its.push_back(lock);
    }
    if (!its.empty()) tasks_.push_back(std::make_unique<LockHandover>(*task, std::move(its), sites_));
  }
}

void TreeLocks::inherit(const std::vector<HeldLock>& locks) {
  for (const auto& task : tree_.tasks()) {
    std::vector<HeldLock> its;
    for (const HeldLock& lock : locks) {
      if (lock.pid == task->pid()) its.push_back(lock);
    }
    if (!its.empty()) tasks_.push_back(std::make_unique<LockHandover>(*task, its, sites_));
  }
}

void TreeLocks::release_leases() {
  for (const auto& task : tasks_) has_released_leases_ = task->release_leases() || has_released_leases_;
}

void TreeLocks::begin() {
  for (const auto& task : tasks_) task->begin();
}

void TreeLocks::complete() {
  for (const auto& task : tasks_) task->complete();
}

std::vector<HeldLock> TreeLocks::held(bool write_leases) {
  std::vector<HeldLock> all;
  for (const auto& task : tasks_) {
    const std::vector<HeldLock> its = task->held(write_leases);
    all.insert(all.end(), its.begin(), its.end());
  }
  return all;
}

void TreeLocks::take_back() {
  for (const auto& task : tasks_) task->take_back();
}

void TreeLocks::disown() noexcept {
  for (const auto& task : tasks_) task->disown();
}

}  // namespace crx
