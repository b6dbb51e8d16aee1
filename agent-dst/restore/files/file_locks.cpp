// File locks: taken at once if the original does not hold them on this kernel, otherwise at the commit. The kernel
// grants no write lease while the original has the file open; on one kernel the lease waits for the original's end.
#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/syscall.h>

#include <chrono>
#include <csignal>
#include <cstring>
#include <thread>
#include <vector>

#include "agent-dst/restore/kind/registry.hpp"
#include "common/base/clock.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/image/magic.hpp"
#include "common/image/schema/regular.pb.h"
#include "common/kernel/files/file_lock.hpp"
#include "common/kernel/process/pidfd.hpp"

namespace crx {
namespace {

constexpr char kFileLocksStep[] = "taking file locks";

class FileLocks final : public Restorer {
 public:
  const char* name() const override { return "file locks"; }
  std::string image(const RestoreContext&) const override { return std::string(image_file::kFileLocks); }

  // Runs after the descriptors are in place.
  void prepare(RestoreContext& context) override {
    for (const auto& entry : context.images.read_all<img::file_lock_entry>(image_file::kFileLocks)) {
      if (entry.pid() != context.pid) continue;
      Held held{entry, try_get_fd(context.vessel.pidfd(), entry.fd()), false};
      if (!held.own) {
        throw Error(ErrorCode::corrupt_image, kFileLocksStep,
                    fmt::format("fd {} has a lock but is not open", entry.fd()));
      }
      if (entry.flag() == lock_kind::kLease) own_signals(held, context.pid);
      held.taken = take(held, context, false);
      locks_.push_back(std::move(held));
    }
  }

  // The original has released its locks by now.
  void commit(RestoreContext& context) override {
    for (Held& held : locks_) {
      if (!held.taken && context.original_is_here && is_write_lease(held.entry)) continue;
      if (!held.taken && !take(held, context, true)) {
        release_logged(context);
        throw Error(ErrorCode::refused, kFileLocksStep,
                    describe_lock(held.entry.flag(), held.entry.type(), path_of(held)) + " is held by somebody else")
            .with_hint("see /proc/locks at the destination");
      }
      held.taken = true;
    }
    std::erase_if(locks_, [](const Held& held) { return held.taken; });
  }

  bool awaits_end() const override { return !locks_.empty(); }

  // A lease keeps the descriptor number it was taken by, so a thread of ours takes it under this number in a descriptor
  // table of its own.
  void original_ended(RestoreContext& context) noexcept override {
    try {
      std::thread([&] {
        const Deadline deadline = Deadline::in_ms(kEndMs);
        const bool own_table = ::unshare(CLONE_FILES) == 0;
        for (const Held& held : locks_) take_when_free(held, own_table, context, deadline);
      }).join();
    } catch (const std::exception& error) {
      log::warn("cannot take the leases of process {}: {}", context.pid, error.what());
    }
    locks_.clear();
  }

 private:
  struct Held {
    img::file_lock_entry entry;
    Fd own;  // our descriptor of the description
    bool taken;
  };

  static constexpr int64_t kEndMs = 5'000;

  static bool is_write_lease(const img::file_lock_entry& lock) {
    return lock.flag() == lock_kind::kLease && lock.type() != F_RDLCK;
  }

  // If the lease cannot be taken, a process has opened the file since the original released it. The program then gets
  // the signal that a broken lease would have sent.
  static void take_when_free(const Held& held, bool own_table, const RestoreContext& context,
                             Deadline deadline) noexcept {
    const int own = held.own.get(), number = static_cast<int>(held.entry.fd());
    const int fd = own_table && ::fcntl(own, F_DUPFD, number) == number ? number : own;
    int result = set_description_lock(fd, lock_kind::kLease, held.entry.type(), 0, 0);
    for (; is_conflict(result) && !deadline.passed();
         result = set_description_lock(fd, lock_kind::kLease, held.entry.type(), 0, 0)) {
      std::this_thread::sleep_for(std::chrono::microseconds(kAskAgainUs));
    }
    if (result == 0) return;
    log::warn("process {}: the lease of descriptor {} is lost: {}", context.pid, number, std::strerror(-result));
    const int signal = ::fcntl(own, F_GETSIG);
    send_signal(context.vessel.pidfd(), signal > 0 ? signal : SIGIO);
  }
  static constexpr int64_t kAskAgainUs = 200;

  // Releases the locks, since the source takes them back. Locks that stay with the vessel are lost when it is
  // destroyed.
  void release_logged(RestoreContext& context) noexcept {
    try {
      release_all(context);
    } catch (const std::exception& error) {
      log::debug("cannot release file locks: {}", error.what());
    }
  }

  void release_all(RestoreContext& context) {
    for (const Held& held : locks_) {
      if (!held.taken) continue;
      const img::file_lock_entry& lock = held.entry;
      const struct flock range = lock_range(F_UNLCK, lock.start(), lock.len());
      if (lock.flag() == lock_kind::kPosix) {
        context.vessel.process().post_arena_call(SYS_fcntl, {static_cast<uint64_t>(lock.fd()), F_SETLK}, &range,
                                                 sizeof range);
      } else {
        set_description_lock(held.own.get(), lock.flag(), F_UNLCK, lock.start(), lock.len());
      }
    }
  }

  static std::string path_of(const Held& held) { return read_link(fmt::format("/proc/self/fd/{}", held.own.get())); }

  // Without an owner the kernel would send us the signal when the lease is broken.
  static void own_signals(const Held& held, pid_t pid) {
    if (::fcntl(held.own.get(), F_GETOWN) == 0) static_cast<void>(::fcntl(held.own.get(), F_SETOWN, pid));
  }

  // Returns false if another process holds the lock. late: after the vessel's arena was closed.
  static bool take(const Held& held, RestoreContext& context, bool late) {
    const img::file_lock_entry& lock = held.entry;
    int64_t result = 0;
    if (lock.flag() == lock_kind::kPosix) {
      const struct flock range = lock_range(lock.type(), lock.start(), lock.len());
      result = late ? context.vessel.process().post_arena_call(SYS_fcntl, {static_cast<uint64_t>(lock.fd()), F_SETLK},
                                                               &range, sizeof range)
                    : take_posix(lock, range, context);
    } else if (lock.flag() == lock_kind::kLease) {
      result = late ? context.vessel.process().post_arena_call(
                          SYS_fcntl, {static_cast<uint64_t>(lock.fd()), F_SETLEASE, lock.type()}, nullptr, 0)
                    : take_lease(lock, context);
    } else if (lock.flag() == lock_kind::kFlock) {
      const auto operation = static_cast<uint64_t>(flock_operation(lock.type()));
      result = late ? context.vessel.process().post_arena_call(SYS_flock, {static_cast<uint64_t>(lock.fd()), operation},
                                                               nullptr, 0)
                    : take_flock(lock, operation, context);
    }
    // The vessel may have lost the privilege that lets it take the lease, so the agent takes it.
    if (lock.flag() == lock_kind::kOfd || (lock.flag() == lock_kind::kLease && result == -EACCES)) {
      result = set_description_lock(held.own.get(), lock.flag(), lock.type(), lock.start(), lock.len());
    }
    if (is_conflict(result)) return false;
    if (result < 0) throw_errno(kFileLocksStep, path_of(held), static_cast<int>(-result));
    return true;
  }

  // A POSIX lock belongs to the process, so the task must take it.
  static int64_t take_posix(const img::file_lock_entry& lock, const struct flock& range, RestoreContext& context) {
    const ArenaScope scratch(context.vessel.arena());
    return context.vessel.try_call("taking a POSIX lock", SYS_fcntl, lock.fd(), F_SETLK,
                                   context.vessel.arena().put_object(range));
  }

  // A flock(2) lock belongs to the description, but /proc/locks shows the process that took it.
  static int64_t take_flock(const img::file_lock_entry& lock, uint64_t operation, RestoreContext& context) {
    return context.vessel.try_call("taking a lock (flock)", SYS_flock, lock.fd(), operation);
  }

  // A lease keeps the descriptor number it was taken by.
  static int64_t take_lease(const img::file_lock_entry& lock, RestoreContext& context) {
    return context.vessel.try_call("taking a lease", SYS_fcntl, lock.fd(), F_SETLEASE, lock.type());
  }

  std::vector<Held> locks_;
};

}  // namespace

RestorerPtr make_file_locks_restorer() {
  return std::make_unique<FileLocks>();
}

}  // namespace crx
