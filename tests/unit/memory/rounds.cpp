#include "agent-src/memory/memory_rounds.hpp"

#include <doctest/doctest.h>

#include "common/base/error.hpp"
#include "tests/unit/memory/victim.hpp"

namespace crx {
namespace {

using test::Move;
using test::Victim;
using Pages = std::vector<uint64_t>;

TEST_CASE("rounds: only the written pages go out again") {
  Victim victim;
  const uint64_t a = victim.map(64);
  victim.fill(a, 40, 1000);
  Move move(victim);
  move.round();
  CHECK(move.put_pages(a, 64).size() == 40);
  victim.store(a + 3 * kPageSize, 1);
  victim.store(a + 50 * kPageSize, 1);  // was absent before
  victim.load(a + 60 * kPageSize);      // reads the zero page, which is no content
  move.round();
  CHECK(move.put_pages(a, 64) == (test::has_zero_page() ? Pages{3, 50} : Pages{3, 50, 60}));
  move.round();
  CHECK(move.put_pages(a, 64).empty());
  victim.store(a + 3 * kPageSize, 2);
  victim.stop();
  const FinalMemory final_memory = move.finish();
  CHECK(move.put_pages(a, 64) == Pages{3});
  CHECK(final_memory.spaces.at(0).holes.empty());
  CHECK(move.difference() == "");
}

TEST_CASE("rounds: dropped memory becomes a hole") {
  Victim victim;
  const uint64_t a = victim.map(16);
  victim.fill(a, 16, 7);
  Move move(victim);
  move.round();
  victim.call(SYS_madvise, a + 2 * kPageSize, 3 * kPageSize, MADV_DONTNEED);
  victim.load(a + 3 * kPageSize);  // the zero page, where there was content
  victim.stop();
  const FinalMemory final_memory = move.finish();
  using Ranges = std::vector<PageRange>;
  if (test::has_zero_page()) {
    CHECK(final_memory.spaces.at(0).holes == Ranges{{a + 2 * kPageSize, a + 5 * kPageSize}});
    CHECK(move.last.hole_pages == 3);
  } else {
    CHECK(final_memory.spaces.at(0).holes ==
          Ranges{{a + 2 * kPageSize, a + 3 * kPageSize}, {a + 4 * kPageSize, a + 5 * kPageSize}});
    CHECK(move.last.hole_pages == 2);
  }
  CHECK(move.difference() == "");
}

TEST_CASE("rounds: a mapping replaced at the same address is sent whole, its old pages are holes") {
  Victim victim;
  const uint64_t a = victim.map(16);
  victim.fill(a, 16, 7);
  Move move(victim);
  move.round();
  victim.map(8, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, a + 4 * kPageSize);
  victim.store(a + 5 * kPageSize, 99);
  move.round();
  CHECK(move.put_pages(a, 16) == Pages{5});
  victim.stop();
  move.finish();
  CHECK(move.difference() == "");
}

TEST_CASE("rounds: mremap, growth and shrinking") {
  Victim victim;
  const uint64_t a = victim.map(16);
  victim.fill(a, 16, 7);
  const uint64_t room = victim.map(64, PROT_NONE);
  Move move(victim);
  move.round();
  REQUIRE(victim.call(SYS_mremap, a, 16 * kPageSize, 32 * kPageSize, MREMAP_MAYMOVE | MREMAP_FIXED, room) ==
          static_cast<long>(room));
  victim.store(room + 20 * kPageSize, 5);
  move.round();
  CHECK(move.put_pages(room, 64).size() == 17);
  CHECK(victim.call(SYS_mremap, room, 32 * kPageSize, 8 * kPageSize, 0) == static_cast<long>(room));
  victim.stop();
  move.finish();
  CHECK(move.put_pages(room, 64).empty());
  CHECK(move.difference() == "");
}

TEST_CASE("rounds: huge pages are tracked page by page") {
  Victim victim;
  const uint64_t a = victim.map(4 * 512);
  const uint64_t huge = (a + (2 << 20) - 1) & ~uint64_t{(2 << 20) - 1};
  victim.call(SYS_madvise, huge, 4 << 20, MADV_HUGEPAGE);
  victim.store(huge, 1);
  victim.store(huge + (2 << 20), 1);
  std::vector<PageRegion> regions;
  Pagemap::Query query;
  query.required = query.returned = page_is::kHuge;
  REQUIRE(Pagemap::open(victim.pid()).scan({huge, huge + (4 << 20)}, query, regions) == ScanStatus::ok);
  REQUIRE(regions.size() == 1);
  Move move(victim);
  move.round();
  CHECK(move.put_pages(huge, 1024).size() == 1024);
  victim.store(huge + 5 * kPageSize, 1);
  move.round();
  CHECK(move.put_pages(huge, 1024) == Pages{5});
  victim.stop();
  move.finish();
  CHECK(move.difference() == "");
}

TEST_CASE("rounds: PROT_NONE and read-only memory with content, guards") {
  Victim victim;
  const uint64_t a = victim.map(24);
  victim.fill(a, 24, 7);
  victim.call(SYS_mprotect, a + 8 * kPageSize, 8 * kPageSize, PROT_NONE);
  victim.call(SYS_mprotect, a + 16 * kPageSize, 8 * kPageSize, PROT_READ);
  const bool guards = victim.call(SYS_madvise, a + 2 * kPageSize, 2 * kPageSize, MADV_GUARD_INSTALL) == 0;
  Move move(victim);
  move.round();
  CHECK(move.put_pages(a, 24).size() == (guards ? 22 : 24));
  victim.call(SYS_mprotect, a + 8 * kPageSize, 8 * kPageSize, PROT_READ | PROT_WRITE);
  victim.store(a + 9 * kPageSize, 1);
  victim.call(SYS_mprotect, a + 8 * kPageSize, 8 * kPageSize, PROT_NONE);
  move.round();
  CHECK(move.put_pages(a, 24) == Pages{9});
  if (guards) {
    victim.call(SYS_madvise, a + 20 * kPageSize, kPageSize, MADV_GUARD_INSTALL);
    victim.call(SYS_madvise, a + 2 * kPageSize, kPageSize, MADV_GUARD_REMOVE);
  }
  victim.stop();
  const FinalMemory final_memory = move.finish();
  if (Pagemap::features().guard) {
    CHECK(final_memory.spaces.at(0).guards ==
          std::vector<PageRange>{{a + 3 * kPageSize, a + 4 * kPageSize}, {a + 20 * kPageSize, a + 21 * kPageSize}});
    CHECK(final_memory.spaces.at(0).holes == std::vector<PageRange>{{a + 20 * kPageSize, a + 21 * kPageSize}});
  }
  CHECK(move.difference() == "");
  victim.go();
  if (guards) CHECK(victim.call(SYS_madvise, a + 20 * kPageSize, kPageSize, MADV_GUARD_REMOVE) == 0);
}

TEST_CASE("rounds: a private file mapping sends its copies and nothing else") {
  Victim victim;
  const long fd = victim.call(SYS_openat, AT_FDCWD, "/usr/bin/bash", O_RDONLY, 0);
  REQUIRE(fd >= 0);
  const uint64_t a = victim.map(32, PROT_READ | PROT_WRITE, MAP_PRIVATE, static_cast<int>(fd));
  for (uint64_t i = 0; i < 16; ++i) victim.load(a + i * kPageSize);
  victim.store(a + 4 * kPageSize, 5);
  victim.store(a + 6 * kPageSize, 5);
  Move move(victim);
  move.round();
  CHECK(move.put_pages(a, 32) == Pages{4, 6});
  victim.store(a + 20 * kPageSize, 5);
  victim.store(a + 8 * kPageSize, 5);
  victim.call(SYS_madvise, a + 4 * kPageSize, kPageSize, MADV_DONTNEED);
  move.round();
  CHECK(move.put_pages(a, 32) == Pages{8, 20});
  victim.call(SYS_madvise, a + 6 * kPageSize, kPageSize, MADV_DONTNEED);
  victim.load(a + 6 * kPageSize);
  victim.call(SYS_madvise, a + 8 * kPageSize, kPageSize, MADV_DONTNEED);
  victim.store(a + 8 * kPageSize, 77);
  victim.stop();
  move.finish();
  CHECK(move.difference() == "");
}

TEST_CASE("rounds: fork in the victim loses nothing") {
  Victim victim;
  const uint64_t a = victim.map(16);
  victim.fill(a, 16, 7);
  Move move(victim);
  move.round();
  const long child = victim.call(SYS_fork);
  REQUIRE(child > 0);
  victim.store(a + 5 * kPageSize, 1);
  move.round();
  CHECK(move.put_pages(a, 16) == Pages{5});
  ::kill(static_cast<pid_t>(child), SIGKILL);
  victim.call(SYS_wait4, child, 0, 0, 0);
  victim.store(a + 6 * kPageSize, 1);
  victim.stop();
  move.finish();
  CHECK(move.put_pages(a, 16) == Pages{6});
  CHECK(move.difference() == "");
}

TEST_CASE("rounds: pages that a failing sink did not take are owed") {
  Victim victim;
  const uint64_t a = victim.map(512);
  victim.fill(a, 512, 7);
  Move move(victim);
  move.shadow.fail_after = 3;
  CHECK_THROWS(move.round());
  move.shadow.fail_after = -1;
  move.round();
  CHECK(move.put_pages(a, 512).size() == 512);
  victim.stop();
  move.finish();
  CHECK(move.difference() == "");
}

TEST_CASE("rounds: forgotten ranges are sent again") {
  for (const TrackerKind kind : {TrackerKind::wp_async, TrackerKind::hash}) {
    Victim victim;
    const uint64_t a = victim.map(16);
    victim.fill(a, 16, 7);
    Move move(victim, kind);
    move.round();
    move.shadow.drop(move.space(), {{a, a + 4 * kPageSize}});
    move.rounds.forget(victim.pid(), {a, a + 4 * kPageSize});
    move.round();
    CHECK(move.put_pages(a, 16) == Pages{0, 1, 2, 3});
    victim.stop();
    move.finish();
    CHECK(move.difference() == "");
  }
}

TEST_CASE("rounds: the hash tracker sends what changed") {
  Victim victim;
  const uint64_t a = victim.map(64);
  victim.fill(a, 40, 1000);
  Move move(victim, TrackerKind::hash);
  move.round();
  CHECK(move.put_pages(a, 64).size() == 40);
  victim.store(a + 3 * kPageSize, 1003);  // the same value again
  victim.store(a + 4 * kPageSize, 1);
  move.round();
  CHECK(move.put_pages(a, 64) == Pages{4});
  victim.call(SYS_madvise, a, 2 * kPageSize, MADV_DONTNEED);
  victim.stop();
  const FinalMemory final_memory = move.finish();
  CHECK(move.put_pages(a, 64).empty());
  CHECK(final_memory.spaces.at(0).holes == std::vector<PageRange>{{a, a + 2 * kPageSize}});
  CHECK(move.difference() == "");
}

TEST_CASE("rounds: a victim that ended or called execve is an Error that says so") {
  Victim victim;
  Move move(victim);
  move.round();
  const std::vector<MemoryVma> vmas = victim.vmas();
  ::kill(victim.pid(), SIGKILL);
  siginfo_t info;
  ::waitid(P_PID, static_cast<id_t>(victim.pid()), &info, WEXITED | WNOWAIT);
  CHECK(mm_fate(victim.pid()) == MmFate::exited);
  const std::vector<SpaceVmas> spaces{{victim.pid(), vmas}};
  try {
    move.rounds.begin_round(spaces);
    FAIL("no error");
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::victim_gone);
    CHECK(std::string(error.what()).find("ended") != std::string::npos);
  }
}

TEST_CASE("rounds: tracking ends without a trace when it is dropped") {
  Victim victim;
  const uint64_t a = victim.map(16);
  victim.fill(a, 16, 7);
  const std::string before = read_file("/proc/" + std::to_string(victim.pid()) + "/maps");
  const auto flags = [&] {
    std::string out;
    const std::string smaps = read_file("/proc/" + std::to_string(victim.pid()) + "/smaps");
    for (std::size_t at = 0; (at = smaps.find("VmFlags", at)) != std::string::npos; ++at) {
      out += smaps.substr(at, smaps.find('\n', at) - at) + "\n";
    }
    return out;
  };
  const std::string flags_before = flags();
  {
    Move move(victim);
    move.round();
    CHECK(flags() != flags_before);
  }
  CHECK(flags() == flags_before);
  CHECK(read_file("/proc/" + std::to_string(victim.pid()) + "/maps") == before);
  std::vector<PageRegion> regions;
  Pagemap::Query query;
  query.required = page_is::kWritten | page_is::kPresent;
  CHECK(Pagemap::open(victim.pid()).scan({a, a + 16 * kPageSize}, query, regions) == ScanStatus::ok);
  CHECK(regions.size() == 1);
  CHECK(regions.at(0).range.pages() == 16);
}

}  // namespace
}  // namespace crx
