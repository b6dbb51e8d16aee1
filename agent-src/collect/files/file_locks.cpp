#include "agent-src/collect/files/file_locks.hpp"

#include <fmt/format.h>
#include <sys/syscall.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <optional>
#include <set>
#include <thread>
#include <tuple>
#include <utility>

#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/kernel/files/file_lock.hpp"
#include "common/kernel/process/pidfd.hpp"
#include "common/proc/maps.hpp"
#include "common/proc/proc_dir.hpp"

namespace crx {
namespace {

constexpr char kFileLocksStep[] = "handing over file locks";
constexpr uint64_t kToTheEnd = UINT64_MAX;

uint32_t kind_of(const proc::Lock& lock) {
  switch (lock.kind) {
    case proc::Lock::Kind::posix:
      return lock_kind::kPosix;
    case proc::Lock::Kind::flock:
      return lock_kind::kFlock;
    case proc::Lock::Kind::ofd:
      return lock_kind::kOfd;
    default:
      return lock_kind::kLease;
  }
}

img::file_lock_entry entry_of(const OpenFile::Number& number, const proc::Lock& lock) {
  img::file_lock_entry entry;
  entry.set_flag(kind_of(lock));
  entry.set_type(lock.type == proc::Lock::Type::write ? F_WRLCK : F_RDLCK);
  entry.set_pid(number.pid);
  entry.set_fd(number.fd);
  entry.set_start(static_cast<int64_t>(lock.start));
  // The kernel prints the last byte, or "EOF" for OFFSET_MAX.
  entry.set_len(lock.end == kToTheEnd ? 0 : static_cast<int64_t>(lock.end - lock.start + 1));
  return entry;
}

img::file_lock_entry entry_of(const HeldLock& lock) {
  img::file_lock_entry entry;
  entry.set_flag(lock.kind);
  entry.set_type(lock.type);
  entry.set_pid(static_cast<int32_t>(lock.pid));
  entry.set_fd(static_cast<int32_t>(lock.fd));
  entry.set_start(lock.start);
  entry.set_len(lock.len);
  return entry;
}

// Returns the descriptor by which the lock is taken again: that of the process shown as the taker if it still has the
// description, otherwise `number`.
const OpenFile::Number& taker(const OpenFile& file, const OpenFile::Number& number, const proc::Lock& lock) {
  if (lock.kind != proc::Lock::Kind::flock) return number;
  const auto its = std::find_if(file.numbers.begin(), file.numbers.end(),
                                [&](const OpenFile::Number& n) { return n.pid == lock.pid; });
  return its == file.numbers.end() ? number : *its;
}

std::string describe(const img::file_lock_entry& lock, const FrozenTask& task) {
  return fmt::format(
      "pid {} fd {}: {}", lock.pid(), lock.fd(),
      describe_lock(lock.flag(), lock.type(), read_link(fmt::format("{}fd/{}", task.proc(), lock.fd()))));
}

// Whether the task itself must take the lock: a POSIX lock belongs to the process, a flock(2) lock shows the process
// that took it, and a lease keeps the descriptor number it was taken by.
bool is_taken_by_itself(const img::file_lock_entry& lock) {
  return lock.flag() != lock_kind::kOfd;
}

bool is_write_lease(const img::file_lock_entry& lock) {
  return lock.flag() == lock_kind::kLease && lock.type() != F_RDLCK;
}

bool is_mapped_by(pid_t pid, const struct stat& file) {
  const std::optional<ProcDir> process = ProcDir::open(pid);
  const auto maps = process ? process->maps() : std::nullopt;
  for (const proc::MapsEntry& map : maps.value_or(std::vector<proc::MapsEntry>())) {
    struct stat st {};
    const std::string link = fmt::format("map_files/{:x}-{:x}", map.start, map.end);
    if (map.inode != file.st_ino || ::fstatat(process->fd(), link.c_str(), &st, 0) != 0) continue;
    if (st.st_dev == file.st_dev && st.st_ino == file.st_ino) return true;
  }
  return false;
}

// Whether the file is mapped in the tree: the restoring agent then opens it twice, for the mapping and for the lease.
bool is_mapped(const OpenFile& file) {
  if (is_mapped_by(file.pid, file.st)) return true;
  return file.tree_members && std::any_of(file.tree_members->begin(), file.tree_members->end(),
                                          [&](pid_t pid) { return is_mapped_by(pid, file.st); });
}

}  // namespace

std::string lock_problem(const OpenFile& file, const proc::Lock& lock) {
  if (lock.kind == proc::Lock::Kind::delegation) return {};  // taken by a file server, not by the program
  if (lock.breaking) return "its lease is being broken";
  if (lock.kind == proc::Lock::Kind::lease && lock.type != proc::Lock::Type::read && is_mapped(file)) {
    return "it has a write lease (F_SETLEASE) on a file that is mapped, too";
  }
  return {};
}

std::vector<img::file_lock_entry> collect_locks(const std::vector<OpenFile>& files) {
  std::vector<img::file_lock_entry> locks;
  std::set<std::tuple<uint32_t, pid_t, uint32_t, uint64_t, uint64_t>> seen;
  const auto take = [&](const OpenFile& file, const OpenFile::Number& number, const std::vector<proc::Lock>& lines) {
    for (const proc::Lock& lock : lines) {
      if (lock.waiting || lock.kind == proc::Lock::Kind::delegation || lock.type == proc::Lock::Type::none) continue;
      if (const std::string problem = lock_problem(file, lock); !problem.empty()) {
        throw Error(ErrorCode::refused, "collecting file locks", file.label() + ": " + problem)
            .with_pid(file.pid)
            .with_hint("let the program release it");
      }
      // A POSIX lock belongs to a process, all others to the description, whichever process has it.
      const pid_t owner = kind_of(lock) == lock_kind::kPosix ? number.pid : 0;
      if (seen.emplace(file.id, owner, kind_of(lock), lock.start, lock.end).second)
        locks.push_back(entry_of(taker(file, number, lock), lock));
    }
  };
  for (const OpenFile& file : files) {
    pid_t last = 0;
    for (const OpenFile::Number& number : file.numbers) {
      if (number.pid == std::exchange(last, number.pid)) continue;
      if (number.pid == file.pid) {
        take(file, number, file.info.locks);
      } else if (S_ISREG(file.st.st_mode)) {
        take(file, number,
             proc::parse_fdinfo(read_file(fmt::format("/proc/{}/fdinfo/{}", number.pid, number.fd))).locks);
      }
    }
  }
  return locks;
}

LockHandover::LockHandover(FrozenTask& task, std::vector<img::file_lock_entry> locks, CallSites& sites)
    : task_(task), sites_(sites), locks_(std::move(locks)) {}

LockHandover::LockHandover(FrozenTask& task, const std::vector<HeldLock>& locks, CallSites& sites)
    : task_(task), sites_(sites) {
  for (const HeldLock& lock : locks) locks_.push_back(entry_of(lock));
  take_duplicates();
  for (std::size_t i = 0; i < locks.size(); ++i) {
    if (locks[i].kind != lock_kind::kLease) continue;
    const auto type = static_cast<decltype(f_owner_ex::type)>(locks[i].owner_type);
    notices_[i] = {{type, locks[i].owner}, locks[i].signal};
  }
  released_ = true;
}

LockHandover::~LockHandover() {
  if (!released_) return;
  try {
    take_back();
  } catch (const std::exception& error) {
    log::error("the program runs on without a lock it had: {}", error.what());
  }
}

// /proc/locks lists waiters behind the lock they wait for, with its file.
void LockHandover::check_waiters() const {
  std::set<std::tuple<uint32_t, uint32_t, uint64_t>> held;
  for (const img::file_lock_entry& lock : locks_) {
    const proc::Fdinfo info = proc::parse_fdinfo(read_file(fmt::format("{}fdinfo/{}", task_.proc(), lock.fd())));
    for (const proc::Lock& line : info.locks) held.emplace(line.dev_major, line.dev_minor, line.inode);
  }
  for (const proc::Lock& line : proc::parse_locks(read_file("/proc/locks"))) {
    if (!line.waiting || !held.contains({line.dev_major, line.dev_minor, line.inode})) continue;
    throw Error(
        ErrorCode::refused, kFileLocksStep,
        fmt::format("process {} waits for a lock that the program holds, and would get it while it is handed over",
                    line.pid))
        .with_pid(task_.pid())
        .with_hint("try again when nobody waits for it");
  }
}

void LockHandover::begin() {
  if (locks_.empty()) return;
  check_waiters();
  take_duplicates();
  released_ = true;
  set_process_locks(false);
}

bool LockHandover::release_leases() {
  if (std::none_of(locks_.begin(), locks_.end(), is_write_lease)) return false;
  take_duplicates();
  released_ = true;
  for (std::size_t i = 0; i < locks_.size(); ++i) {
    if (!is_write_lease(locks_[i])) continue;
    if (const int result = set_description_lock(own_[i].get(), lock_kind::kLease, F_UNLCK, 0, 0); result != 0) {
      throw_errno(kFileLocksStep, describe(locks_[i], task_), -result);
    }
  }
  return true;
}

void LockHandover::take_duplicates() {
  if (!own_.empty()) return;
  for (const img::file_lock_entry& lock : locks_) {
    own_.push_back(try_get_fd(task_.pidfd(), lock.fd()));
    if (!own_.back()) throw_errno(kFileLocksStep, describe(lock, task_));
    Notice& notice = notices_.emplace_back();
    if (lock.flag() != lock_kind::kLease) continue;
    if (::fcntl(own_.back().get(), F_GETOWN_EX, &notice.owner) != 0) throw_errno(kFileLocksStep, describe(lock, task_));
    notice.signal = ::fcntl(own_.back().get(), F_GETSIG);
  }
}

void LockHandover::disown() noexcept {
  released_ = false;
  own_.clear();
}

std::vector<HeldLock> LockHandover::held(bool write_leases) {
  if (std::none_of(locks_.begin(), locks_.end(),
                   [&](const img::file_lock_entry& lock) { return is_write_lease(lock) == write_leases; }))
    return {};
  take_duplicates();
  std::vector<HeldLock> held;
  for (std::size_t i = 0; i < locks_.size(); ++i) {
    const img::file_lock_entry& lock = locks_[i];
    if (is_write_lease(lock) != write_leases) continue;
    const Notice& notice = notices_[i];
    held.push_back({static_cast<pid_t>(lock.pid()), static_cast<uint32_t>(lock.fd()), lock.flag(), lock.type(),
                    lock.start(), lock.len(), notice.owner.type, notice.owner.pid, notice.signal});
  }
  return held;
}

void LockHandover::complete() {
  set_description_locks(false);
}

void LockHandover::take_back() {
  if (!released_) return;
  const Deadline deadline = Deadline::in_ms(kTakeBackMs);
  while (!set_description_locks(true) || !set_process_locks(true)) {
    if (deadline.passed()) {
      if (give_up_lease()) continue;
      throw Error(ErrorCode::refused, kFileLocksStep, conflict_ + " was taken by somebody else meanwhile")
          .with_hint("end the process that has it (see /proc/locks)");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  released_ = false;
  own_.clear();
}

bool LockHandover::give_up_lease() {
  if (locks_[conflicting_].flag() != lock_kind::kLease) return false;
  Notice& notice = notices_[conflicting_];
  notice.lost = true;
  log::warn("{}: it is lost, since another process has opened the file", conflict_);
  send_signal(task_.pidfd(), notice.signal > 0 ? notice.signal : SIGIO);
  return true;
}

bool LockHandover::set_description_locks(bool hold) {
  for (std::size_t i = 0; i < locks_.size(); ++i) {
    const img::file_lock_entry& lock = locks_[i];
    if (lock.flag() == lock_kind::kPosix) continue;
    if (hold ? is_taken_by_itself(lock) : is_write_lease(lock)) continue;
    const int result =
        set_description_lock(own_[i].get(), lock.flag(), hold ? lock.type() : F_UNLCK, lock.start(), lock.len());
    if (result == 0) continue;
    conflict_ = describe(lock, task_);
    conflicting_ = i;
    if (hold && is_conflict(result)) return false;
    throw_errno(kFileLocksStep, conflict_, -result);
  }
  return true;
}

bool LockHandover::set_process_locks(bool hold) {
  constexpr std::size_t kAtOnce = 512;
  std::vector<std::size_t> locks;
  for (std::size_t i = 0; i < locks_.size(); ++i) {
    if (hold && notices_[i].lost) continue;
    if (locks_[i].flag() == lock_kind::kPosix || (hold && is_taken_by_itself(locks_[i]))) locks.push_back(i);
  }
  if (locks.empty()) return true;
  task_.inject(sites_.of(task_.pid()));
  bool all = true;
  for (std::size_t first = 0; first < locks.size(); first += kAtOnce) {
    const std::size_t end = std::min(locks.size(), first + kAtOnce);
    const ArenaScope scratch(task_.arena());
    RemoteBatch batch(task_.arena(), end - first);
    for (std::size_t i = first; i < end; ++i) {
      const img::file_lock_entry& lock = locks_[locks[i]];
      if (lock.flag() == lock_kind::kLease) {
        // First restore the process and signal that it notifies.
        const Notice& notice = notices_[locks[i]];
        const int own = own_[locks[i]].get();
        if (::fcntl(own, F_SETOWN_EX, &notice.owner) != 0 || ::fcntl(own, F_SETSIG, notice.signal) != 0)
          throw_errno(kFileLocksStep, describe(lock, task_));
        batch.add_optional("taking a lease", SYS_fcntl, lock.fd(), F_SETLEASE, lock.type());
        continue;
      }
      if (lock.flag() == lock_kind::kFlock) {
        batch.add_optional("taking a lock (flock)", SYS_flock, lock.fd(), flock_operation(lock.type()));
        continue;
      }
      const struct flock range = lock_range(hold ? lock.type() : F_UNLCK, lock.start(), lock.len());
      batch.add_optional("setting a POSIX lock", SYS_fcntl, lock.fd(), F_SETLK, task_.arena().put_object(range));
    }
    task_.remote(0).run(batch);
    for (std::size_t i = first; i < end; ++i) {
      const img::file_lock_entry& lock = locks_[locks[i]];
      int64_t result = batch.result(i - first);
      // The task may have lost the privilege that let it take the lease, so the agent takes it.
      if (result == -EACCES && lock.flag() == lock_kind::kLease) {
        result = set_description_lock(own_[locks[i]].get(), lock.flag(), lock.type(), 0, 0);
      }
      if (result == 0) continue;
      conflict_ = describe(lock, task_);
      conflicting_ = locks[i];
      if (!hold || !is_conflict(result)) {
        task_.eject();  // it could not run any more in a frozen group
        throw_errno(kFileLocksStep, conflict_, static_cast<int>(-result));
      }
      all = false;
    }
  }
  task_.eject();
  return all;
}

}  // namespace crx
