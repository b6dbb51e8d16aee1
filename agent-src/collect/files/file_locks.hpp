// File locks: POSIX, flock, OFD, and leases.
//
// A lock moves by being handed over: the source lets go of it just before GO, the destination takes it in step 4 of the
// cutover, and where it cannot, says NEVER and the source takes it back. Who waits for the lock would get it in
// between, so a lock with a waiter is refused. What cannot be taken back keeps the program stopped, with an error.
//
// A write lease is broken by whoever opens its file, so that is lent before the destination is told to build; and on
// one kernel nobody can have it as long as the original has the file open, so there the destination takes it when the
// original has ended.
#pragma once

#include <fcntl.h>

#include <memory>
#include <string>
#include <vector>

#include "agent-src/freeze/frozen_tree.hpp"
#include "agent-src/tree/open_file.hpp"
#include "common/image/schema/regular.pb.h"

namespace crx {

// What a lock of a description cannot be moved for; empty if it can.
std::string lock_problem(const OpenFile& file, const proc::Lock& lock);

// All locks held through these descriptions, each once. Throws Error(refused).
std::vector<img::file_lock_entry> collect_locks(const std::vector<OpenFile>& files);

// The locks of one frozen task, on their way. Destroying it in between takes them back, best effort.
class LockHandover {
 public:
  // Task and sites must outlive this object.
  LockHandover(FrozenTask& task, std::vector<img::file_lock_entry> locks, CallSites& sites);
  LockHandover(const LockHandover&) = delete;
  LockHandover& operator=(const LockHandover&) = delete;
  ~LockHandover();

  // Write leases, while the task is stopped by ptrace. False: it has none. From here on the file may be opened
  // elsewhere.
  bool lend();
  // While the task is stopped by ptrace, right before its group is frozen: lets go of POSIX locks, which only the task
  // itself can (injects and ejects for that). Throws Error(refused) naming who waits for one of the locks, before any
  // was let go.
  void begin();
  // Right before GO is sent, the group may be frozen: lets go of all others through our duplicates.
  void complete();
  // Takes all back: the task is stopped by ptrace and its group is thawed. Tries for kTakeBackMs, since a vessel that
  // dies may have them still; then throws Error(refused) naming the lock that somebody else has: the task must not run
  // on.
  static constexpr int64_t kTakeBackMs = 5000;
  void take_back();
  // The destination has them, or may have them. We have none of the files any more.
  void given_up() noexcept;

 private:
  void take_duplicates();
  void check_waiters() const;
  // Lets go of or takes the locks that belong to descriptions / to the process; false where somebody else has one.
  bool set_description_locks(bool hold);
  bool set_process_locks(bool hold);

  FrozenTask& task_;
  CallSites& sites_;
  std::vector<img::file_lock_entry> locks_;
  // Whom a lease tells, and how: the kernel forgets it with the lease.
  struct Notice {
    f_owner_ex owner{};
    int signal = 0;
  };

  std::vector<Fd> own_;  // of each lock's description
  std::vector<Notice> notices_;
  std::string conflict_;  // the lock that could not be taken last
  bool released_ = false;
};

// The same for all tasks of a tree.
class TreeLocks {
 public:
  // Tree and sites must outlive this object.
  TreeLocks(FrozenTree& tree, CallSites& sites) : tree_(tree), sites_(sites) {}
  // What was collected; before all else, once.
  void set(const std::vector<img::file_lock_entry>& locks);
  void lend();
  bool has_lent() const noexcept { return has_lent_; }
  void begin();
  void complete();
  void take_back();
  void given_up() noexcept;

 private:
  FrozenTree& tree_;
  CallSites& sites_;
  std::vector<std::unique_ptr<LockHandover>> tasks_;
  bool has_lent_ = false;
};

}  // namespace crx
