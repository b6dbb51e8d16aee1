#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <ctime>

#include "common/base/clock.hpp"
#include "common/base/error.hpp"
#include "common/base/fd.hpp"
#include "common/proc/cgroup.hpp"
#include "common/proc/limits.hpp"
#include "common/proc/locks.hpp"
#include "common/proc/maps.hpp"
#include "common/proc/mountinfo.hpp"
#include "common/proc/sched.hpp"
#include "common/proc/syscall.hpp"
#include "common/proc/text.hpp"
#include "common/proc/timers.hpp"

namespace crx::proc {

TEST_CASE("smaps: flags and sizes") {
  const auto entries = parse_smaps(
      "7ffe6c83a000-7ffe6c85b000 rw-p 00000000 00:00 0                          [stack]\nSize:               "
      " 132 kB\n"
      "KernelPageSize:        4 kB\nRss:                  44 kB\nLocked:               8 kB\nTHPeligible:    "
      "       0\n"
      "ProtectionKey:         3\nVmFlags: rd wr mr mw me gd ac \n"
      "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\nVmFlags: ex\n");
  REQUIRE(entries.size() == 2);
  CHECK(entries[0].map.kind == MapKind::stack);
  CHECK(entries[0].rss_kib == 44);
  CHECK(entries[0].locked_kib == 8);
  CHECK(entries[0].protection_key == 3);
  CHECK(entries[0].has("gd"));
  CHECK_FALSE(entries[0].has("dw"));
  CHECK_FALSE(entries[0].has("d "));
  CHECK(entries[1].has("ex"));
  CHECK_THROWS_AS(parse_smaps("Rss: 1 kB\n"), Error);
  CHECK(parse_smaps(read_file("/proc/self/smaps")).size() > 10);
}

TEST_CASE("timers: both ways of notification") {
  const auto timers = parse_timers(
      "ID: 1\nsignal: 10/0000000000000007\nnotify: signal/tid.7061\nClockID: 0\n"
      "ID: 0\nsignal: 34/00007ffe00000007\nnotify: none/pid.7061\nClockID: -6\n");
  REQUIRE(timers.size() == 2);
  CHECK(timers[0].id == 1);
  CHECK(timers[0].signo == 10);
  CHECK(timers[0].sigval == 7);
  CHECK(timers[0].notify == SIGEV_THREAD_ID);
  CHECK(timers[0].to_thread);
  CHECK(timers[1].notify == SIGEV_NONE);
  CHECK(timers[1].pid == 7061);
  CHECK(timers[1].clock_id == -6);
  CHECK_THROWS_AS(parse_timers("signal: 10/0\n"), Error);
  CHECK_THROWS_AS(parse_timers("ID: 0\nnotify: odd/pid.1\n"), Error);

  sigevent event{};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = SIGUSR1;
  event.sigev_value.sival_ptr = &event;
  int id = -1;
  REQUIRE(::syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &id) == 0);
  const auto own = parse_timers(read_file("/proc/self/timers"));
  REQUIRE(own.size() == 1);
  CHECK(own[0].id == id);
  CHECK(own[0].sigval == reinterpret_cast<uint64_t>(&event));
  CHECK(own[0].clock_id == CLOCK_MONOTONIC);
  CHECK(own[0].pid == ::getpid());
  ::syscall(SYS_timer_delete, id);
}

TEST_CASE("locks: kinds, waiters, leases") {
  const auto locks = parse_locks(
      "1: POSIX  ADVISORY  WRITE 7061 fe:00:10952873 5 14\n"
      "1: -> POSIX  ADVISORY  READ 7062 fe:00:10952873 5 14\n"
      "2: FLOCK  ADVISORY  WRITE 7061 fe:00:10952873 0 EOF\n"
      "3: OFDLCK ADVISORY  READ  -1 00:1b:5 0 9223372036854775806\n"
      "4: LEASE  BREAKING  UNLCK 12 08:01:9 0 EOF\n"
      "5: DELEG  ACTIVE    READ 0 08:01:9 0 EOF\n");
  REQUIRE(locks.size() == 6);
  CHECK(locks[0].pid == 7061);
  CHECK(locks[0].dev_major == 0xfe);
  CHECK(locks[0].inode == 10952873);
  CHECK(locks[1].waiting);
  CHECK(locks[1].id == 1);
  CHECK(locks[3].kind == Lock::Kind::ofd);
  CHECK(locks[3].pid == -1);
  CHECK(locks[3].dev_minor == 0x1b);
  CHECK(locks[4].breaking);
  CHECK(locks[5].kind == Lock::Kind::delegation);
  CHECK_THROWS_AS(parse_locks("1: POSIX\n"), Error);
  CHECK_THROWS_AS(parse_locks("1: POSIX ADVISORY SOME 1 0:0:1 0 EOF\n"), Error);
  parse_locks(read_file("/proc/locks"));
}

TEST_CASE("limits: by resource number") {
  const auto limits = parse_limits(read_file("/proc/self/limits"));
  for (int resource = 0; resource < 16; ++resource) {
    rlimit expected{};
    REQUIRE(::getrlimit(static_cast<__rlimit_resource>(resource), &expected) == 0);
    CAPTURE(resource);
    CHECK(limits.at(static_cast<std::size_t>(resource)) == Limit{expected.rlim_cur, expected.rlim_max});
  }
  CHECK_THROWS_AS(parse_limits("Max cpu time unlimited unlimited seconds\n"), Error);
}

TEST_CASE("cgroup: v1, named and v2 hierarchies") {
  const auto entries = parse_cgroup("9:name=systemd:/\n2:cpu,cpuacct:/a:b/c (deleted)\n0::/x y\n");
  REQUIRE(entries.size() == 3);
  CHECK(entries[0].has("name=systemd"));
  CHECK(entries[1].has("cpuacct"));
  CHECK(entries[1].path == "/a:b/c");
  CHECK(entries[1].deleted);
  CHECK(entries[2].is_v2());
  CHECK(entries[2].controllers.empty());
  CHECK(entries[2].path == "/x y");
  CHECK_THROWS_AS(parse_cgroup("0:\n"), Error);
  CHECK_FALSE(parse_cgroup(read_file("/proc/self/cgroup")).empty());
}

TEST_CASE("mountinfo: optional fields, escapes, empty sources") {
  const auto mounts = parse_mountinfo(
      "36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 propagate_from:7 - ext3 /dev/root rw,errors=continue\n"
      "22 27 0:21 / /proc rw,relatime shared:5 unbindable - proc  rw\n");
  REQUIRE(mounts.size() == 2);
  CHECK(mounts[0].mount_point == "/mnt 2");
  CHECK(mounts[0].root == "/mnt1");
  CHECK(mounts[0].dev_major == 98);
  CHECK(mounts[0].master_group == 1U);
  CHECK(mounts[0].propagate_from == 7U);
  CHECK(mounts[0].super_options == "rw,errors=continue");
  CHECK(mounts[1].shared_group == 5U);
  CHECK(mounts[1].unbindable);
  CHECK(mounts[1].source.empty());
  CHECK(mounts[1].super_options == "rw");
  CHECK_THROWS_AS(parse_mountinfo("36 35 98:0 / /\n"), Error);
  CHECK_THROWS_AS(parse_mountinfo("36 35 98:0 / / rw\n"), Error);
  CHECK_FALSE(parse_mountinfo(read_file("/proc/self/mountinfo")).empty());
}

TEST_CASE("sched: times and counts") {
  const SchedInfo info = parse_sched(
      "a\nnr_switches:9 (70, #threads: "
      "1)\n-------------------------------------------------------------------\n"
      "se.exec_start                                :       1495973.803354\n"
      "se.sum_exec_runtime                          :             0.000012\n"
      "nr_switches                                  :                    5\n"
      "nr_voluntary_switches                        :                    3\n"
      "se.slice                                     :              1400000\n");
  CHECK(info.exec_start_ns == 1'495'973'803'354);
  CHECK(info.sum_exec_runtime_ns == 12);
  CHECK(info.switches == 5U);
  CHECK(info.voluntary_switches == 3U);
  CHECK_FALSE(info.involuntary_switches);
  CHECK(info.slice_ns == 1'400'000);
  const SchedInfo own = parse_sched(read_file("/proc/thread-self/sched"));
  CHECK(own.exec_start_ns.value_or(0) > 0);
}

TEST_CASE("syscall: blocked, blocked elsewhere, running") {
  const auto call = parse_syscall("35 0x1 0x2 0x3 0x4 0x5 0x7fb90c486b60 0x7ffeca791d88 0x7fb90c56f2ad\n");
  REQUIRE(call);
  CHECK(call->nr == 35);
  CHECK(call->args[5] == 0x7fb90c486b60);
  CHECK(call->pc == 0x7fb90c56f2ad);
  CHECK(parse_syscall("-1 0x7ffeca791d88 0x7fb90c56f2ad")->nr == -1);
  CHECK_FALSE(parse_syscall("running\n"));
  CHECK_THROWS_AS(parse_syscall("35 0x1\n"), Error);
  CHECK(parse_syscall(read_file("/proc/thread-self/syscall"))->nr == SYS_pread64);
}

TEST_CASE("files of one number") {
  CHECK(parse_hex_value("/proc/PID/personality", "00040000\n") == 0x40000);
  CHECK(parse_signed_value("/proc/PID/oom_score_adj", "-1000\n") == -1000);
  CHECK(parse_signed_value("x", "-9223372036854775808") == INT64_MIN);
  CHECK(autogroup_nice("/autogroup-25 nice -3\n") == -3);
  CHECK(autogroup_nice("/autogroup-25 nice 0\n") == 0);
  CHECK_FALSE(autogroup_nice("").has_value());
  CHECK_THROWS_AS(parse_signed_value("x", "-9223372036854775809"), Error);
  CHECK_THROWS_AS(parse_signed_value("x", ""), Error);
  CHECK_THROWS_AS(parse_hex_value("x", "12 13"), Error);
  CHECK(parse_hex_value("x", "ffffffffffffffff") == UINT64_MAX);
  CHECK_THROWS_AS(parse_hex_value("x", "10000000000000000"), Error);
  CHECK(unescape_octal("a\\040b\\134\\0") == "a b\\\\0");
}

}  // namespace crx::proc
