// File locks: POSIX, flock, OFD, and leases.
//
// Two hosts cannot hold a lock at once, so it is handed over: the source releases it right before GO, and the
// destination takes it between Go and RESUMING (docs/architecture.md, "The commit"). If the destination cannot take it,
// it answers NEVER and the source takes the lock back. A waiter would get the lock in between, so a lock with a waiter
// is refused. If the source cannot take a lock back, the program stays stopped, with an error.
//
// The kernel breaks a write lease as soon as another process opens its file, so the source releases it before the
// destination begins to build. If both hosts run on one kernel no process can get a lease while the original has the
// file open; there the destination takes it when the original has ended.
#pragma once

#include <fcntl.h>

#include <memory>
#include <string>
#include <vector>

#include "agent-src/freeze/frozen_tree.hpp"
#include "agent-src/tree/open_file.hpp"
#include "common/image/schema/regular.pb.h"
#include "common/session/held_locks.hpp"

namespace crx {

// Returns why a lock of a description cannot be moved; empty if it can.
std::string lock_problem(const OpenFile& file, const proc::Lock& lock);

// Returns all locks held through these descriptions, each once. Throws Error(refused).
std::vector<img::file_lock_entry> collect_locks(const std::vector<OpenFile>& files);

// The locks of one frozen task during the hand-over. The destructor takes released locks back, as far as it can, and
// logs an error if it cannot.
class LockHandover {
 public:
  // Task and sites must outlive this object.
  LockHandover(FrozenTask& task, std::vector<img::file_lock_entry> locks, CallSites& sites);
  // In place of begin() and complete(): another process has released these locks of the task. Throws Error.
  LockHandover(FrozenTask& task, const std::vector<HeldLock>& locks, CallSites& sites);
  LockHandover(const LockHandover&) = delete;
  LockHandover& operator=(const LockHandover&) = delete;
  ~LockHandover();

  // Releases the write leases; the task is stopped by ptrace. Afterwards the file may be opened elsewhere. Returns
  // false if the task has none.
  bool release_leases();
  // The locks that release_leases(), or begin() and complete(), release; to be called before, for the journal.
  std::vector<HeldLock> held(bool write_leases);
  // Releases the POSIX locks; the task is stopped by ptrace, right before its cgroup is frozen. Only the task itself
  // can release these (an arena is injected and ejected for that). Throws Error(refused) that names a process that
  // waits for one of the locks, before any lock was released.
  void begin();
  // Releases all other locks, through our duplicates. To be called right before GO is sent; the cgroup may be frozen.
  void complete();
  // Takes all locks back; the task is stopped by ptrace and its cgroup is thawed. Retries for kTakeBackMs, since a
  // dying vessel may still hold them; then throws Error(refused) that names the lock another process holds: the task
  // must not run on. A lease is given up instead, and the task gets the signal that a broken lease would have sent.
  static constexpr int64_t kTakeBackMs = 5000;
  void take_back();
  // To be called when the destination has, or may have, the locks: this object then does nothing more.
  void disown() noexcept;

 private:
  void take_duplicates();
  bool give_up_lease();
  void check_waiters() const;
  // Releases (hold: false) or takes the locks that belong to descriptions / to the process. Returns false if another
  // process holds one.
  bool set_description_locks(bool hold);
  bool set_process_locks(bool hold);

  FrozenTask& task_;
  CallSites& sites_;
  std::vector<img::file_lock_entry> locks_;
  // The process and signal that a lease notifies: the kernel forgets them when the lease is released.
  struct Notice {
    f_owner_ex owner{};
    int signal = 0;
    bool lost = false;  // another process has opened the file, and the lease was given up
  };

  std::vector<Fd> own_;  // a duplicate of each lock's description
  std::vector<Notice> notices_;
  std::string conflict_;         // the lock that could not be taken last
  std::size_t conflicting_ = 0;  // its index
  bool released_ = false;
};

}  // namespace crx
