// Descriptors of each kind: collected from a victim, restored in a vessel, and compared from outside.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <string>

#include "agent-src/collect/files/sync_files.hpp"
#include "common/base/clock.hpp"
#include "common/kernel/process/pidfd.hpp"
#include "tests/unit/fds/fixture.hpp"

namespace crx::test {
namespace {

// Places a descriptor at a fixed number, so that tests can name it.
void place(int fd, int number, bool cloexec = false) {
  if (fd < 0 || ::dup3(fd, number, cloexec ? O_CLOEXEC : 0) < 0) ::_exit(99);
  ::close(fd);
}

void same_table(const Moved& moved) {
  const auto after = moved.after->files();
  // The vessel also has its engine_pidfd.
  REQUIRE(after.size() == moved.before.size() + 1);
  for (std::size_t i = 0; i < moved.before.size(); ++i) {
    const OpenFile& a = moved.before[i];
    const OpenFile& b = after[i];
    CAPTURE(a.label());
    CAPTURE(b.label());
    REQUIRE(a.numbers.size() == b.numbers.size());
    for (std::size_t n = 0; n < a.numbers.size(); ++n) {
      CHECK(a.numbers[n].fd == b.numbers[n].fd);
      CHECK(a.numbers[n].cloexec == b.numbers[n].cloexec);
    }
    CHECK(a.info.flags == b.info.flags);
    CHECK(a.info.pos == b.info.pos);
    if (!a.link.starts_with("pipe:")) CHECK(a.link == b.link);
  }
}

std::string read_all(const OpenFile& file, std::size_t limit) {
  std::string bytes(limit, '\0');
  const ssize_t n = ::read(file.own.get(), bytes.data(), bytes.size());
  bytes.resize(n < 0 ? 0 : static_cast<std::size_t>(n));
  return bytes;
}

}  // namespace

TEST_CASE("regular files keep position, flags, numbers and sharing") {
  TempDir dir;
  const std::string path = dir.file("data", "0123456789");
  const Moved moved([&] {
    place(::open(path.c_str(), O_RDWR | O_APPEND), 10, true);
    ::lseek(10, 4, SEEK_SET);
    ::dup3(10, 30, 0);
    place(::open(path.c_str(), O_RDONLY | O_NOATIME), 11);
    place(::open(path.c_str(), O_WRONLY | O_CREAT | O_NONBLOCK, 0644), 12);
    place(::open(path.c_str(), O_PATH), 13);
    place(::open(dir.path().c_str(), O_RDONLY | O_DIRECTORY), 14);
    place(::open("/dev/zero", O_RDWR), 200);
    place(::open("/dev/urandom", O_RDONLY), 15);
    place(::open("/proc/self/stat", O_RDONLY), 16);
  });
  same_table(moved);
  CHECK(read_all(moved.after->file(30), 10) == "456789");
  CHECK(moved.after->file(10).info.pos == 10);
}

TEST_CASE("a deleted file is carried along") {
  TempDir dir;
  const std::string path = dir.file("gone", "ghost content");
  const Moved moved([&] {
    place(::open(path.c_str(), O_RDWR), 10);
    place(::open(path.c_str(), O_RDONLY), 11);
    ::lseek(11, 6, SEEK_SET);
    ::unlink(path.c_str());
    place(::open(dir.path().c_str(), O_TMPFILE | O_RDWR, 0600), 12);
    ::ftruncate(12, 1 << 20);
    ::pwrite(12, "end", 3, (1 << 20) - 3);
  });
  CHECK(read_all(moved.after->file(11), 100) == "content");
  CHECK(read_all(moved.after->file(10), 100) == "ghost content");
  const OpenFile a = moved.after->file(10);
  const OpenFile b = moved.after->file(11);
  CHECK(a.st.st_ino == b.st.st_ino);
  CHECK(a.st.st_nlink == 0);
  const OpenFile sparse = moved.after->file(12);
  CHECK(sparse.st.st_size == 1 << 20);
  CHECK(sparse.st.st_blocks < 100);
  char end[4] = {};
  CHECK(::pread(sparse.own.get(), end, 3, (1 << 20) - 3) == 3);
  CHECK(std::string(end) == "end");
  CHECK(moved.images.contains("remap-fpath.img"));
}

TEST_CASE("a deleted file over the limit is refused with the option to raise it") {
  TempDir dir;
  const std::string path = dir.file("big", std::string(5000, 'x'));
  FdVictim victim([&] {
    place(::open(path.c_str(), O_RDWR), 10);
    ::unlink(path.c_str());
  });
  CollectOptions options;
  options.ghost_limit_bytes = 1000;
  const std::string text = collect_refusal(victim.pid(), options);
  CHECK(text.find("--ghost-limit") != std::string::npos);
  CHECK(text.find("fd 10") != std::string::npos);
  const auto refusals = inspect_tree(list_tree(victim.pid()), options);
  CHECK(std::any_of(refusals.begin(), refusals.end(),
                    [](const Refusal& r) { return r.remedy.find("--ghost-limit") != std::string::npos; }));
}

TEST_CASE("a file that has only another name is refused with --link-remap") {
  TempDir dir;
  const std::string path = dir.file("one", "x");
  FdVictim victim([&] {
    place(::open(path.c_str(), O_RDWR), 10);
    ::link(path.c_str(), (dir.path() + "/two").c_str());
    ::unlink(path.c_str());
  });
  CHECK(collect_refusal(victim.pid()).find("--link-remap") != std::string::npos);
}

TEST_CASE("pipes keep content, capacity, packets and both ends") {
  const Moved moved([] {
    int p[2];
    ::pipe(p);
    place(p[0], 10, true);
    place(p[1], 11);
    ::fcntl(11, F_SETFL, O_NONBLOCK);
    ::fcntl(11, F_SETPIPE_SZ, 1 << 18);
    for (int i = 0; i < 1000; ++i) ::write(11, "hello world ", 12);
    ::pipe2(p, O_DIRECT);
    place(p[0], 12);
    place(p[1], 13);
    ::write(13, "one", 3);
    ::write(13, "three", 5);
    ::pipe(p);
    place(p[0], 14);
    ::write(p[1], "rest", 4);
    ::close(p[1]);
    ::pipe(p);
    place(p[1], 15);
    ::close(p[0]);
    place(::open("/proc/self/fd/10", O_WRONLY), 16);
  });
  same_table(moved);
  const OpenFile reader = moved.after->file(10);
  CHECK(::fcntl(reader.own.get(), F_GETPIPE_SZ) == 1 << 18);
  CHECK(read_all(reader, 1 << 18).size() == 12000);
  CHECK(reader.st.st_ino == moved.after->file(16).st.st_ino);
  const OpenFile packets = moved.after->file(12);
  CHECK(read_all(packets, 100) == "one");
  CHECK(read_all(packets, 100) == "three");
  CHECK(read_all(moved.after->file(14), 100) == "rest");
  CHECK(read_all(moved.after->file(14), 100).empty());
}

TEST_CASE("collecting leaves a pipe as it was") {
  FdVictim victim([] {
    int p[2];
    ::pipe(p);
    place(p[0], 10);
    place(p[1], 11);
    ::write(11, "stays", 5);
  });
  collect(victim.pid());
  collect(victim.pid());
  const auto files = take_open_files({{victim.pid(), open_pidfd(victim.pid()).get()}});
  int queued = 0;
  for (const OpenFile& file : files) {
    if (file.fd() == 10) ::ioctl(file.own.get(), FIONREAD, &queued);
  }
  CHECK(queued == 5);
}

TEST_CASE("descriptors that are used outside are refused by name") {
  int p[2];
  REQUIRE(::pipe2(p, O_CLOEXEC) == 0);
  const Fd read_end(p[0]);
  const Fd write_end(p[1]);
  const std::string link = "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(p[0]);
  const auto refused = [](const std::function<void()>& setup, const std::string& word) {
    CAPTURE(word);
    FdVictim victim(setup);
    const std::string text = collect_refusal(victim.pid());
    CAPTURE(text);
    CHECK(text.find(word) != std::string::npos);
    CHECK(text.find("fd 10") != std::string::npos);
    const auto refusals = inspect_tree(list_tree(victim.pid()), {});
    CHECK(std::any_of(refusals.begin(), refusals.end(), [&](const Refusal& refusal) {
      return refusal.object.find("fd 10") != std::string::npos && refusal.reason.find(word) != std::string::npos &&
             !refusal.remedy.empty();
    }));
  };
  // The test runner itself would be the holder, but it looks at all processes except itself.
  refused([&] { place(::open(link.c_str(), O_RDONLY), 10); }, "the pipe is also held outside");
  refused(
      [] {
        char parameters[120] = {};
        place(static_cast<int>(::syscall(425 /* io_uring_setup */, 4, parameters)), 10);
      },
      "an io_uring");
  const Fd terminal(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  REQUIRE(::unlockpt(terminal.get()) == 0);
  const std::string slave = ::ptsname(terminal.get());
  refused(
      [&] {
        place(::open(slave.c_str(), O_RDWR | O_NOCTTY), 10);
        ::close(terminal.get());
      },
      "has its other end outside");
  refused([] { place(static_cast<int>(::syscall(SYS_pidfd_open, 1, 0)), 10); }, "process 1");
  refused(
      [] {
        const int own = ::open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC);
        if (::unshare(CLONE_NEWUTS) != 0) ::_exit(99);
        place(::open("/proc/self/ns/uts", O_RDONLY), 10);
        if (::setns(own, CLONE_NEWUTS) != 0) ::_exit(99);
        ::close(own);
      },
      "a namespace");
  refused(
      [] {
        place(static_cast<int>(::syscall(SYS_userfaultfd, 1)), 10);
        uffdio_api api{};
        api.api = UFFD_API;
        ::ioctl(10, UFFDIO_API, &api);
      },
      "a userfaultfd");
}

TEST_CASE("FIFOs keep their content") {
  TempDir dir;
  const std::string path = dir.path() + "/fifo";
  const Moved moved([&] {
    ::mkfifo(path.c_str(), 0600);
    place(::open(path.c_str(), O_RDWR), 10);
    place(::open(path.c_str(), O_RDONLY | O_NONBLOCK), 11);
    place(::open(path.c_str(), O_WRONLY), 12);
    ::write(12, "queued", 6);
  });
  same_table(moved);
  CHECK(read_all(moved.after->file(11), 100) == "queued");
}

TEST_CASE("eventfd, signalfd and pidfd keep their state") {
  const Moved moved([] {
    place(::eventfd(7, EFD_SEMAPHORE | EFD_NONBLOCK), 10);
    place(::eventfd(0, 0), 11, true);
    const uint64_t large = UINT64_MAX - 1;
    ::write(11, &large, sizeof large);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGRTMIN + 3);
    place(::signalfd(-1, &set, SFD_NONBLOCK), 12);
    place(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), O_NONBLOCK)), 13);
  });
  same_table(moved);
  CHECK(moved.after->file(10).info.eventfd->count == 7);
  CHECK(moved.after->file(10).info.eventfd->semaphore);
  CHECK(moved.after->file(11).info.eventfd->count == UINT64_MAX - 1);
  CHECK_FALSE(moved.after->file(11).info.eventfd->semaphore);
  const auto mask = *moved.after->file(12).info.signalfd_mask;
  CHECK(mask == (uint64_t{1} << (SIGUSR1 - 1) | uint64_t{1} << (SIGRTMIN + 2)));
  CHECK(moved.after->file(13).info.pidfd->pid == moved.after->vessel().pid());
}

TEST_CASE("timerfd fires when it would have") {
  const int64_t began = monotonic_ns();
  const Moved moved([] {
    itimerspec time{{0, 500'000'000}, {60, 0}};
    place(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK), 10);
    ::timerfd_settime(10, 0, &time, nullptr);
    timespec now{};
    ::clock_gettime(CLOCK_REALTIME, &now);
    itimerspec absolute{{0, 0}, {now.tv_sec + 100, now.tv_nsec}};
    place(::timerfd_create(CLOCK_REALTIME, 0), 11);
    ::timerfd_settime(11, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &absolute, nullptr);
    place(::timerfd_create(CLOCK_BOOTTIME, 0), 12);
    itimerspec often{{0, 1'000'000}, {0, 1'000'000}};
    place(::timerfd_create(CLOCK_MONOTONIC, 0), 13);
    ::timerfd_settime(13, 0, &often, nullptr);
    ::usleep(20'000);
    itimerspec relative{{0, 0}, {50, 0}};
    place(::timerfd_create(CLOCK_REALTIME, 0), 14);
    ::timerfd_settime(14, 0, &relative, nullptr);
  });
  same_table(moved);
  const auto left_of = [&](int fd) {
    itimerspec left{};
    REQUIRE(::timerfd_gettime(moved.after->file(fd).own.get(), &left) == 0);
    return int64_t{left.it_value.tv_sec} * 1'000'000'000 + left.it_value.tv_nsec;
  };
  const int64_t passed = monotonic_ns() - began;
  CHECK(left_of(10) <= 60'000'000'000);
  CHECK(left_of(10) >= 60'000'000'000 - passed - 1'000'000);
  CHECK(left_of(11) <= 100'000'000'000);
  CHECK(left_of(11) >= 100'000'000'000 - passed - 1'000'000);
  CHECK(moved.after->file(11).info.timerfd->settime_flags == (TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET));
  CHECK(left_of(12) == 0);
  CHECK(left_of(14) <= 50'000'000'000);
  CHECK(left_of(14) >= 50'000'000'000 - passed - 1'000'000);
  uint64_t ticks = 0;
  REQUIRE(::read(moved.after->file(13).own.get(), &ticks, sizeof ticks) == sizeof ticks);
  CHECK(ticks >= 20);
  CHECK(static_cast<int64_t>(ticks) <= (monotonic_ns() - began) / 1'000'000);
}

TEST_CASE("epoll watches the same files under the same numbers") {
  const Moved moved([] {
    int p[2];
    ::pipe(p);
    place(p[0], 10);
    place(p[1], 11);
    place(::eventfd(0, 0), 12);
    place(::epoll_create1(EPOLL_CLOEXEC), 20, true);
    place(::epoll_create1(0), 21);
    epoll_event event{EPOLLIN | EPOLLET, {.u64 = 0x123456789abcdef0}};
    ::epoll_ctl(20, EPOLL_CTL_ADD, 10, &event);
    event = {EPOLLOUT | EPOLLONESHOT, {.u64 = 1}};
    ::epoll_ctl(20, EPOLL_CTL_ADD, 12, &event);
    ::epoll_wait(20, &event, 1, 0);  // spends it
    event = {EPOLLIN, {.u64 = 2}};
    ::epoll_ctl(21, EPOLL_CTL_ADD, 20, &event);
    // Watched under a number that now belongs to another file.
    place(::eventfd(5, 0), 13);
    event = {EPOLLIN, {.u64 = 3}};
    ::epoll_ctl(21, EPOLL_CTL_ADD, 13, &event);
    ::dup2(13, 14);
    ::dup2(12, 13);
  });
  same_table(moved);
  for (const int set : {20, 21}) {
    const auto before =
        std::find_if(moved.before.begin(), moved.before.end(), [&](const auto& f) { return f.fd() == set; });
    auto a = before->info.epoll_targets;
    auto b = moved.after->file(set).info.epoll_targets;
    const auto by_data = [](const auto& x, const auto& y) { return x.data < y.data; };
    std::sort(a.begin(), a.end(), by_data);
    std::sort(b.begin(), b.end(), by_data);
    REQUIRE(a.size() == b.size());
    for (std::size_t i = 0; i < a.size(); ++i) {
      CHECK(a[i].fd == b[i].fd);
      CHECK(a[i].events == b[i].events);
      CHECK(a[i].data == b[i].data);
    }
  }
  epoll_event events[4];
  CHECK(::epoll_wait(moved.after->file(21).own.get(), events, 4, 0) == 1);
  const uint64_t data = events[0].data.u64;
  CHECK(data == 3);
}

TEST_CASE("inotify keeps watch numbers") {
  TempDir dir;
  const std::string file = dir.file("watched", "x");
  const Moved moved([&] {
    place(::inotify_init1(IN_NONBLOCK), 10);
    for (int i = 0; i < 5; ++i) ::inotify_rm_watch(10, ::inotify_add_watch(10, "/", IN_CREATE));
    char events[4096];
    while (::read(10, events, sizeof events) > 0) {
    }
    ::inotify_add_watch(10, dir.path().c_str(), IN_CREATE | IN_ONESHOT);
    ::inotify_add_watch(10, file.c_str(), IN_MODIFY | IN_EXCL_UNLINK);
  });
  same_table(moved);
  const auto before =
      std::find_if(moved.before.begin(), moved.before.end(), [](const auto& f) { return f.fd() == 10; });
  const OpenFile after = moved.after->file(10);
  REQUIRE(after.info.inotify.size() == 2);
  for (const auto& watch : before->info.inotify) {
    CHECK(std::any_of(after.info.inotify.begin(), after.info.inotify.end(), [&](const auto& w) {
      return w.wd == watch.wd && w.inode == watch.inode && w.mask == watch.mask;
    }));
  }
  int queued = 0;
  ::ioctl(after.own.get(), FIONREAD, &queued);
  CHECK(queued == 0);
}

TEST_CASE("memfds are described") {
  const Moved moved([] {
    place(::memfd_create("some name", MFD_ALLOW_SEALING), 10);
    ::ftruncate(10, 10'000);
    ::lseek(10, 123, SEEK_SET);
    ::fcntl(10, 1033 /* F_ADD_SEALS */, 2 /* F_SEAL_SHRINK */);
    place(::open("/proc/self/fd/10", O_RDONLY), 11);
  });
  same_table(moved);
  const OpenFile a = moved.after->file(10);
  CHECK(a.st.st_size == 10'000);
  CHECK(a.st.st_ino == moved.after->file(11).st.st_ino);
}

TEST_CASE("owner and signal of a file are restored") {
  const Moved moved([] {
    int p[2];
    ::pipe(p);
    place(p[0], 10);
    place(p[1], 11);
    ::fcntl(10, F_SETOWN, ::getpid());
    ::fcntl(10, F_SETSIG, SIGRTMIN + 1);
    ::fcntl(10, F_SETFL, O_ASYNC | O_NONBLOCK);
  });
  same_table(moved);
  const OpenFile file = moved.after->file(10);
  CHECK(::fcntl(file.own.get(), F_GETOWN) == moved.after->vessel().pid());
  CHECK(::fcntl(file.own.get(), F_GETSIG) == SIGRTMIN + 1);
}

TEST_CASE("working directory, root and umask are restored") {
  TempDir dir;
  const Moved moved([&] {
    ::chdir(dir.path().c_str());
    ::umask(0137);
  });
  const std::string proc = "/proc/" + std::to_string(moved.after->vessel().pid()) + "/";
  CHECK(read_link(proc + "cwd") == dir.path());
  CHECK(read_link(proc + "root") == "/");
  CHECK(read_file(proc + "status").find("Umask:\t0137") != std::string::npos);
}

TEST_CASE("written files are written back, of every kind") {
  TempDir dir;
  FdVictim victim([&] {
    place(::open((dir.path() + "/log").c_str(), O_CREAT | O_WRONLY, 0600), 10);
    ::write(10, "text", 4);
    place(::open("/dev/null", O_WRONLY), 11);
    place(::memfd_create("memory", 0), 12);
    place(::open("/proc/self/comm", O_RDWR), 13);
    place(::open((dir.path() + "/mapped").c_str(), O_CREAT | O_RDWR, 0600), 14);
    ::ftruncate(14, 4096);
    static_cast<char*>(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, 14, 0))[5] = 1;
    ::close(14);
  });
  CHECK_NOTHROW(sync_written_files(victim.pid()));
}

TEST_CASE("thousands of descriptors") {
  const Moved moved([] {
    for (int i = 10; i < 3000; ++i) {
      if (i == 900) continue;  // the pipe between the victim and the test
      if (i % 3 == 0) {
        place(::open("/dev/null", O_RDONLY), i);
      } else if (i % 3 == 1 || i == 901) {
        place(::eventfd(static_cast<unsigned>(i), 0), i);
      } else {
        ::dup2(i - 1, i);
      }
    }
  });
  same_table(moved);
}

}  // namespace crx::test
