// File locks: collected, restored, and handed over without a moment in which nobody holds them.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent-src/collect/files/file_locks.hpp"
#include "agent-src/freeze/interrupted_calls.hpp"
#include "common/base/error.hpp"
#include "common/image/magic.hpp"
#include "common/kernel/files/file_lock.hpp"
#include "common/kernel/process/pidfd.hpp"
#include "tests/unit/fds/fixture.hpp"

namespace crx::test {
namespace {

// Moves a descriptor to a fixed number.
void number_it(int fd, int number) {
  if (fd < 0 || ::dup2(fd, number) < 0) ::_exit(99);
  ::close(fd);
}

struct Files {
  TempDir dir;
  std::string flock = dir.file("flock", "content");
  std::string posix = dir.file("posix", "content");
  std::string ofd = dir.file("ofd", "content");

  void lock() const {
    number_it(::open(flock.c_str(), O_RDWR), 10);
    ::dup2(10, 20);
    ::flock(10, LOCK_EX);
    number_it(::open(posix.c_str(), O_RDWR), 11);
    struct flock range = lock_range(F_WRLCK, 2, 3);
    ::fcntl(11, F_SETLK, &range);
    range = lock_range(F_RDLCK, 100, 0);
    ::fcntl(11, F_SETLK, &range);
    number_it(::open(ofd.c_str(), O_RDWR), 12);
    range = lock_range(F_WRLCK, 0, 0);
    ::fcntl(12, F_OFD_SETLK, &range);
  }

  // Whether another process holds the lock: the test tries to take it.
  static bool is_held(const std::string& path, uint32_t kind, int64_t start, uint32_t type = F_WRLCK) {
    const Fd fd = open_checked(path, O_RDWR);
    return is_conflict(set_description_lock(fd.get(), kind, type, start, 1));
  }
  bool all_held() const {
    return is_held(flock, lock_kind::kFlock, 0) && is_held(posix, lock_kind::kOfd, 3) &&
           is_held(posix, lock_kind::kOfd, 1000) && is_held(ofd, lock_kind::kOfd, 5);
  }
  bool none_held() const {
    return !is_held(flock, lock_kind::kFlock, 0) && !is_held(posix, lock_kind::kOfd, 3) &&
           !is_held(posix, lock_kind::kOfd, 1000) && !is_held(ofd, lock_kind::kOfd, 5);
  }
};

}  // namespace

TEST_CASE("locks are restored with the descriptors") {
  const Files files;
  const Moved moved([&] { files.lock(); });
  const auto locks = moved.images.read_all<img::file_lock_entry>(image_file::kFileLocks);
  REQUIRE(locks.size() == 4);
  moved.after->commit();
  CHECK(files.all_held());
  CHECK_FALSE(Files::is_held(files.posix, lock_kind::kOfd, 50));
  CHECK_FALSE(Files::is_held(files.posix, lock_kind::kOfd, 100, F_RDLCK));
}

TEST_CASE("a lock that another process holds fails the commit") {
  const Files files;
  const Fd other = open_checked(files.ofd, O_RDWR);
  FdVictim victim([&] { files.lock(); });
  const pid_t pid = victim.pid();
  const ImageStore images = collect(pid);
  victim.kill();
  REQUIRE(set_description_lock(other.get(), lock_kind::kOfd, F_WRLCK, 0, 0) == 0);
  Restored restored(pid, images);
  try {
    restored.commit();
    FAIL("it took a lock that was held");
  } catch (const Error& error) {
    CHECK(std::string(error.what()).find(files.ofd) != std::string::npos);
  }
}

TEST_CASE("locks are handed over, and taken back") {
  const Files files;
  FdVictim victim([&] { files.lock(); });
  REQUIRE(files.all_held());
  const ImageStore images = collect(victim.pid());
  CHECK(files.all_held());
  KernelView kernel;
  InterruptedCalls calls(kernel);
  FrozenTask task = FrozenTask::freeze(victim.pid(), Deadline::in_ms(5000), false, calls);
  CallSites sites;
  {
    LockHandover locks(task, images.read_all<img::file_lock_entry>(image_file::kFileLocks), sites);
    locks.begin();
    locks.complete();
    CHECK(files.none_held());
    locks.take_back();
    CHECK(files.all_held());
  }
  {
    LockHandover locks(task, images.read_all<img::file_lock_entry>(image_file::kFileLocks), sites);
    locks.begin();
  }
  CHECK(files.all_held());
  task.thaw();
  CHECK(files.all_held());
}

TEST_CASE("a lock with a waiter is not released") {
  const Files files;
  FdVictim victim([&] { files.lock(); });
  const std::string path = files.flock;
  FdVictim waiter([&] {
    number_it(::open(path.c_str(), O_RDWR), 10);
    if (::fork() != 0) return;
    ::close_range(20, ~0U, 0);
    ::flock(10, LOCK_EX);
    ::_exit(0);
  });
  // The process waits as soon as /proc/locks lists it.
  const Deadline deadline = Deadline::in_ms(10'000);
  while (read_file("/proc/locks").find("-> FLOCK") == std::string::npos && !deadline.passed()) ::sched_yield();
  const ImageStore images = collect(victim.pid());
  KernelView kernel;
  InterruptedCalls calls(kernel);
  FrozenTask task = FrozenTask::freeze(victim.pid(), Deadline::in_ms(5000), false, calls);
  CallSites sites;
  LockHandover locks(task, images.read_all<img::file_lock_entry>(image_file::kFileLocks), sites);
  CHECK_THROWS_WITH_AS(locks.begin(), doctest::Contains("waits for a lock"), Error);
  CHECK(files.all_held());
}

TEST_CASE("without --file-locks a lock is refused") {
  const Files files;
  FdVictim victim([&] { files.lock(); });
  CollectOptions options;
  options.file_locks = false;
  CHECK(collect_refusal(victim.pid(), options).find("--file-locks") != std::string::npos);
  CHECK(inspect_tree(list_tree(victim.pid()), options).size() >= 3);
}

TEST_CASE("a read lease that is taken back notifies the same process by the same signal") {
  TempDir dir;
  const std::string path = dir.file("leased", "x");
  FdVictim victim([&] {
    number_it(::open(path.c_str(), O_RDONLY), 10);
    ::fcntl(10, F_SETSIG, SIGUSR2);
    ::fcntl(10, F_SETLEASE, F_RDLCK);
  });
  const ImageStore images = collect(victim.pid());
  KernelView kernel;
  InterruptedCalls calls(kernel);
  FrozenTask task = FrozenTask::freeze(victim.pid(), Deadline::in_ms(5000), false, calls);
  const Fd lease = try_get_fd(task.pidfd(), 10);
  REQUIRE(lease);
  CallSites sites;
  LockHandover locks(task, images.read_all<img::file_lock_entry>(image_file::kFileLocks), sites);
  locks.begin();
  locks.complete();
  CHECK(::fcntl(lease.get(), F_GETLEASE) == F_UNLCK);
  locks.take_back();
  CHECK(::fcntl(lease.get(), F_GETLEASE) == F_RDLCK);
  CHECK(::fcntl(lease.get(), F_GETOWN) == victim.pid());
  CHECK(::fcntl(lease.get(), F_GETSIG) == SIGUSR2);
}

TEST_CASE("a write lease is released before the other locks, and taken back") {
  TempDir dir;
  const std::string path = dir.file("leased", "x");
  FdVictim victim([&] {
    number_it(::open(path.c_str(), O_RDWR), 10);
    ::fcntl(10, F_SETSIG, SIGUSR2);
    ::fcntl(10, F_SETLEASE, F_WRLCK);
  });
  const ImageStore images = collect(victim.pid());
  KernelView kernel;
  InterruptedCalls calls(kernel);
  FrozenTask task = FrozenTask::freeze(victim.pid(), Deadline::in_ms(5000), false, calls);
  const Fd lease = try_get_fd(task.pidfd(), 10);
  REQUIRE(lease);
  CallSites sites;
  LockHandover locks(task, images.read_all<img::file_lock_entry>(image_file::kFileLocks), sites);
  CHECK(locks.release_leases());
  CHECK(::fcntl(lease.get(), F_GETLEASE) == F_UNLCK);
  locks.begin();
  locks.complete();
  locks.take_back();
  CHECK(::fcntl(lease.get(), F_GETLEASE) == F_WRLCK);
  CHECK(::fcntl(lease.get(), F_GETOWN) == victim.pid());
  CHECK(::fcntl(lease.get(), F_GETSIG) == SIGUSR2);
}

TEST_CASE("a write lease on a mapped file is refused") {
  TempDir dir;
  const std::string path = dir.file("leased", "x");
  FdVictim victim([&] {
    number_it(::open(path.c_str(), O_RDWR), 10);
    ::mmap(nullptr, 1, PROT_READ, MAP_SHARED, 10, 0);
    ::fcntl(10, F_SETLEASE, F_WRLCK);
  });
  CHECK(collect_refusal(victim.pid()).find("lease") != std::string::npos);
}

}  // namespace crx::test
