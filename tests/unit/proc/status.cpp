#include "common/proc/status.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "common/base/error.hpp"
#include "common/base/fd.hpp"
#include "common/proc/stat.hpp"

namespace crx::proc {
namespace {

constexpr const char* kStatus =
    "Name:\ta\\\\b\\nc: d\nUmask:\t0027\nState:\tt (tracing "
    "stop)\nTgid:\t7051\nNgid:\t0\nPid:\t7052\nPPid:\t7044\n"
    "TracerPid:\t9\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nFDSize:\t256\nGroups:\t4 24 4294967294 "
    "\nNStgid:\t7051\t1\n"
    "NSpid:\t7052\t2\nNSpgid:\t7044\t0\nNSsid:\t2364\t0\nKthread:\t0\nVmPeak:\t    3060 kB\nVmSize:\t    "
    "3060 kB\n"
    "VmLck:\t      12 kB\nVmPin:\t       0 kB\nVmRSS:\t    1708 kB\nRssAnon:\t     116 kB\nVmSwap:\t       0 "
    "kB\n"
    "CoreDumping:\t0\nTHP_enabled:\t1\nuntag_mask:\t0xffffffffffffffff\nThreads:\t2\nSigQ:\t1/96365\n"
    "SigPnd:\t0000000000000001\nShdPnd:\t0000000000000200\nSigBlk:\t8000000000000000\nSigIgn:"
    "\t0000000000001000\n"
    "SigCgt:\t0000000180004a02\nCapInh:\t0000000000000000\nCapPrm:\t000001fffeffffff\nCapEff:"
    "\t000001fffeffffff\n"
    "CapBnd:\t000001fffeffffff\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t3\n"
    "Speculation_Store_Bypass:\tvulnerable\nSpeculationIndirectBranch:\talways enabled\n"
    "Cpus_allowed:\t1,00000003\nCpus_allowed_list:\t0-1,32\nMems_allowed:\t00000000,00000001\n"
    "x86_Thread_features:\tshstk "
    "\nvoluntary_ctxt_switches:\t150\nnonvoluntary_ctxt_switches:\t7\nFuture:\tx\n";

}  // namespace

TEST_CASE("status: every field") {
  const Status s = parse_status(kStatus);
  CHECK(s.name == "a\\b\nc: d");
  CHECK(s.umask == 027);
  CHECK(s.state == 't');
  CHECK(s.tgid == 7051);
  CHECK(s.pid == 7052);
  CHECK(s.tracer_pid == 9);
  CHECK(s.uid == FourIds{1, 2, 3, 4});
  CHECK(s.gid == FourIds{5, 6, 7, 8});
  CHECK(s.groups == std::vector<uint32_t>{4, 24, 4294967294});
  CHECK(s.ns_pid == std::vector<int32_t>{7052, 2});
  CHECK(s.vm_locked_kib == 12);
  CHECK(s.vm_rss_kib == 1708);
  CHECK(s.thp_enabled == true);
  CHECK(s.untag_mask == UINT64_MAX);
  CHECK(s.threads == 2);
  CHECK(s.queued_signals == 1);
  CHECK(s.pending == 1);
  CHECK(s.shared_pending == 0x200);
  CHECK(s.blocked == uint64_t{1} << 63);
  CHECK(s.caught == 0x180004a02);
  CHECK(s.cap_permitted == 0x1fffeffffff);
  CHECK(s.no_new_privs);
  CHECK(s.seccomp == 2);
  CHECK(s.seccomp_filters == 3U);
  CHECK(s.speculation_indirect_branch == "always enabled");
  CHECK(s.cpus_allowed == std::vector<uint32_t>{3, 1});
  CHECK(s.mems_allowed == std::vector<uint32_t>{1, 0});
  CHECK(s.x86_thread_features == "shstk ");
  CHECK(s.involuntary_switches == 7);
}

TEST_CASE("status: absent and damaged fields") {
  const Status zombie = parse_status("Name:\tx\nState:\tZ (zombie)\nTgid:\t4\nPid:\t4\nPPid:\t1\n");
  CHECK_FALSE(zombie.umask);
  CHECK_FALSE(zombie.seccomp_filters);
  CHECK(zombie.vm_rss_kib == 0);
  CHECK_THROWS_AS(parse_status(""), Error);
  CHECK_THROWS_AS(parse_status("Name:\tx\nState:\tR\n"), Error);
  CHECK_THROWS_WITH_AS(parse_status("Name:\tx\nState:\tR\nPid:\tnone\n"), doctest::Contains("Pid:"), Error);
  CHECK_THROWS_AS(parse_status("Name:\tx\nState:\tR\nPid:\t1\nUid:\t1\t2\t3\n"), Error);
  CHECK_THROWS_AS(parse_status("Name:\tx\nState:\tR\nPid:\t1\nNoNewPrivs:\t2\n"), Error);
}

TEST_CASE("status and stat of a process with a nasty name") {
  char old_name[16];
  REQUIRE(::prctl(PR_GET_NAME, old_name) == 0);
  REQUIRE(::prctl(PR_SET_NAME, "a) R 1\n\\(b c") == 0);
  const Status status = parse_status(read_file("/proc/self/status"));
  const Stat stat = parse_stat(read_file("/proc/self/stat"));
  ::prctl(PR_SET_NAME, old_name);
  CHECK(status.name == "a) R 1\n\\(b c");
  CHECK(stat.comm == "a) R 1\n\\(b c");
  CHECK(status.pid == ::getpid());
  CHECK(stat.pid == ::getpid());
  CHECK(stat.ppid == ::getppid());
  CHECK(stat.state == 'R');
  CHECK(status.state == 'R');
  CHECK(stat.start_stack > reinterpret_cast<uint64_t>(&stat));
  CHECK(stat.env_end >= stat.arg_start);
}

TEST_CASE("stat: fields are at their places") {
  const Stat s = parse_stat(
      "7061 (python3) t 7044 7045 2364 -5 -1 4194560 3114 6616 18 2 3 2 -3 1 20 -7 1 0 149622 18776064 3637 "
      "18446744073709551615 94668476219392 94668476219733 140730719111728 0 0 0 1 16781312 2 0 0 0 17 1 50 2 "
      "0 0 -0 "
      "94668476231088 94668476231704 94669039980544 140730719119323 140730719119366 140730719119366 "
      "140730719121359 "
      "9\n");
  CHECK(s.pgrp == 7045);
  CHECK(s.tty_nr == -5);
  CHECK(s.flags == 4194560);
  CHECK(s.cutime == -3);
  CHECK(s.nice == -7);
  CHECK(s.num_threads == 1);
  CHECK(s.starttime == 149622);
  CHECK(s.rsslim == UINT64_MAX);
  CHECK(s.start_code == 94668476219392);
  CHECK(s.exit_signal == 17);
  CHECK(s.rt_priority == 50);
  CHECK(s.policy == 2);
  CHECK(s.start_data == 94668476231088);
  CHECK(s.start_brk == 94669039980544);
  CHECK(s.env_end == 140730719121359);
  CHECK(s.exit_code == 9);
  for (const char* text : {"", "1 (x", "1 (x) ", "1 (x) R 1 2", ") (", "1 (x) R a 2 3"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(parse_stat(text), Error);
  }
}

}  // namespace crx::proc
