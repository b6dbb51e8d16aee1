#include "common/proc/fdinfo.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <csignal>
#include <string>

#include "common/base/error.hpp"
#include "common/base/fd.hpp"

namespace crx::proc {
using namespace std::string_literals;
namespace {

Fdinfo own(const Fd& fd) {
  return parse_fdinfo(read_file(fmt::format("/proc/self/fdinfo/{}", fd.get())));
}

}  // namespace

TEST_CASE("fdinfo: position, flags, locks") {
  const Fdinfo info = parse_fdinfo(
      "pos:\t17\nflags:\t02100001\nmnt_id:\t27\nino:\t10952873\n"
      "lock:\t1: FLOCK  ADVISORY  WRITE 7061 fe:00:10952873 0 EOF\n"
      "lock:\t2: OFDLCK ADVISORY  READ -1 fe:00:10952873 5 14\nnew-key:\tx\n");
  CHECK(info.pos == 17);
  CHECK(info.flags == (O_CLOEXEC | O_WRONLY | 0100000));
  CHECK(info.mnt_id == 27);
  CHECK(info.inode == 10952873U);
  REQUIRE(info.locks.size() == 2);
  CHECK(info.locks[0].kind == Lock::Kind::flock);
  CHECK(info.locks[0].end == UINT64_MAX);
  CHECK(info.locks[1].kind == Lock::Kind::ofd);
  CHECK(info.locks[1].type == Lock::Type::read);
  CHECK(info.locks[1].start == 5);
  CHECK(info.locks[1].end == 14);
}

TEST_CASE("fdinfo: lines of older and other kernels") {
  const Fdinfo watch =
      parse_fdinfo("pos:\t0\nflags:\t00\nmnt_id:\t17\ninotify wd:1f ino:3c51a sdev:fe00000 mask:3ff ignored_mask:0\n");
  REQUIRE(watch.inotify.size() == 1);
  CHECK(watch.inotify[0].wd == 31);
  CHECK_FALSE(watch.inotify[0].handle);
  const Fdinfo mark = parse_fdinfo(
      "pos:\t0\nflags:\t02\nmnt_id:\t17\nfanotify flags:1 event-flags:8000\n"
      "fanotify mnt_id:12 mflags:40 mask:38 ignored_mask:40000000\n"
      "fanotify ino:4f969 sdev:800013 mflags:0 mask:3b ignored_mask:40000000 fhandle-bytes:8 fhandle-type:1 "
      "f_handle:69f90400c275b5b4\n");
  REQUIRE(mark.fanotify);
  CHECK(mark.fanotify->event_flags == 0x8000);
  REQUIRE(mark.fanotify->marks.size() == 2);
  CHECK(mark.fanotify->marks[0].mount_id == 0x12U);
  CHECK(mark.fanotify->marks[1].handle->bytes == "\x69\xf9\x04\x00\xc2\x75\xb5\xb4"s);
  const Fdinfo epoll =
      parse_fdinfo("pos:\t0\nflags:\t02\nmnt_id:\t9\ntfd:        5 events:       1d data: ffffffffffffffff\n");
  REQUIRE(epoll.epoll_targets.size() == 1);
  CHECK(epoll.epoll_targets[0].data == UINT64_MAX);
}

TEST_CASE("fdinfo: malformed lines are named") {
  for (const char* line : {"", "pos:\t0\n", "flags:\t9\n", "flags:\t0\nlock:\t1: NEW ADVISORY WRITE 1 0:0:0 0 EOF\n",
                           "flags:\t0\nit_value: (1, x)\n", "flags:\t0\ntfd: 5 events:\n",
                           "flags:\t0\ninotify wd:1 ino:1 sdev:1 mask:1 ignored_mask:0 fhandle-bytes:8 fhandle-type:1 "
                           "f_handle:00\n",
                           "flags:\t0\ninotify wd:1 ino:1 sdev:1 mask:1 ignored_mask:0 fhandle-bytes:ffff "
                           "fhandle-type:1 f_handle:00\n"}) {
    CAPTURE(line);
    CHECK_THROWS_AS(parse_fdinfo(line), Error);
  }
}

TEST_CASE("fdinfo: this kernel's eventfd, epoll, timerfd, signalfd, inotify, pidfd") {
  const Fd event(::eventfd(500, EFD_SEMAPHORE | EFD_CLOEXEC));
  REQUIRE(own(event).eventfd);
  CHECK(own(event).eventfd->count == 500);
  CHECK((own(event).flags & O_CLOEXEC) != 0);

  const Fd set(::epoll_create1(EPOLL_CLOEXEC));
  epoll_event wanted{};
  wanted.events = EPOLLIN | EPOLLET;
  wanted.data.u64 = 0xfeedface12345678;
  REQUIRE(::epoll_ctl(set.get(), EPOLL_CTL_ADD, event.get(), &wanted) == 0);
  const Fdinfo epoll = own(set);
  REQUIRE(epoll.epoll_targets.size() == 1);
  CHECK(epoll.epoll_targets[0].fd == event.get());
  CHECK(epoll.epoll_targets[0].data == 0xfeedface12345678);
  CHECK((epoll.epoll_targets[0].events & EPOLLET) != 0);
  CHECK(epoll.epoll_targets[0].inode == own(event).inode);

  const Fd timer(::timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC));
  const itimerspec spec{{3, 4}, {1000, 0}};
  REQUIRE(::timerfd_settime(timer.get(), 0, &spec, nullptr) == 0);
  const Fdinfo timer_info = own(timer);
  REQUIRE(timer_info.timerfd);
  CHECK(timer_info.timerfd->clock_id == CLOCK_BOOTTIME);
  CHECK(timer_info.timerfd->value_sec >= 998);
  CHECK(timer_info.timerfd->interval_nsec == 4);

  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGUSR1);
  const Fd signal(::signalfd(-1, &signals, SFD_CLOEXEC));
  CHECK(own(signal).signalfd_mask == uint64_t{1} << (SIGUSR1 - 1));

  const Fd notify(::inotify_init1(IN_CLOEXEC));
  REQUIRE(::inotify_add_watch(notify.get(), "/", IN_CREATE) > 0);
  REQUIRE(own(notify).inotify.size() == 1);
  CHECK(own(notify).inotify[0].mask == IN_CREATE);

  const Fd self(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
  REQUIRE(own(self).pidfd);
  CHECK(own(self).pidfd->pid == ::getpid());
}

}  // namespace crx::proc
