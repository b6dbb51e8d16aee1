#include "common/kernel/memory/pagemap.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "common/base/error.hpp"
#include "common/base/scope_exit.hpp"
#include "common/kernel/memory/memory_reader.hpp"
#include "tests/unit/memory/victim.hpp"

namespace crx {
namespace {

using test::Move;
using test::Victim;

TEST_CASE("pagemap: more regions than one call can return") {
  Victim victim;
  constexpr uint64_t kPages = 20000;
  const uint64_t a = victim.map(kPages);
  const WriteProtectFd fd = WriteProtectFd::adopt(victim.make_userfaultfd());
  REQUIRE(fd.register_range({a, a + kPages * kPageSize}) == RegisterStatus::ok);
  for (uint64_t i = 0; i < kPages; i += 2) victim.store(a + i * kPageSize, i);
  const Pagemap pagemap = Pagemap::open(victim.pid());
  for (const bool rearm : {false, true}) {
    Pagemap::Query query;
    query.required = page_is::kWritten | page_is::kPresent;
    query.returned = page_is::kWritten;
    query.rearm = rearm;
    std::vector<PageRegion> regions;
    REQUIRE(pagemap.scan({a, a + kPages * kPageSize}, query, regions) == ScanStatus::ok);
    REQUIRE(regions.size() == kPages / 2);
    for (uint64_t i = 0; i < kPages / 2; ++i) {
      const uint64_t at = a + 2 * i * kPageSize;
      REQUIRE(regions[i] == PageRegion{{at, at + kPageSize}, page_is::kWritten});
    }
  }
  // The query finds a region with clean pages in it: 10,000 alternations in one walk, without protecting pages again.
  Pagemap::Query both;
  both.anyof = page_is::kPresent;
  both.returned = page_is::kWritten;
  victim.store(a, 1);
  std::vector<PageRegion> regions;
  REQUIRE(pagemap.scan({a, a + kPages * kPageSize}, both, regions) == ScanStatus::ok);
  CHECK(regions.size() == kPages / 2);
  CHECK(regions.at(0).categories == page_is::kWritten);
  CHECK(regions.at(1).categories == 0);
}

TEST_CASE("pagemap: protecting an unregistered mapping reports that") {
  Victim victim;
  const uint64_t a = victim.map(8);
  victim.fill(a, 8, 1);
  const WriteProtectFd fd = WriteProtectFd::adopt(victim.make_userfaultfd());
  const Pagemap pagemap = Pagemap::open(victim.pid());
  Pagemap::Query query;
  query.required = page_is::kWritten;
  query.rearm = true;
  std::vector<PageRegion> regions;
  CHECK(pagemap.scan({a, a + 8 * kPageSize}, query, regions) == ScanStatus::not_tracked);
  CHECK(fd.register_range({a, a + 8 * kPageSize}) == RegisterStatus::ok);
  CHECK(fd.register_range({a, a + 8 * kPageSize}) == RegisterStatus::ok);
  CHECK(pagemap.scan({a, a + 8 * kPageSize}, query, regions) == ScanStatus::ok);
  fd.unregister_range({a, a + 8 * kPageSize});
  CHECK(pagemap.scan({a, a + 8 * kPageSize}, query, regions) == ScanStatus::not_tracked);
}

TEST_CASE("userfaultfd: mappings that cannot be registered, by name") {
  Victim victim;
  const uint64_t a = victim.map(8);
  const WriteProtectFd fd = WriteProtectFd::adopt(victim.make_userfaultfd());
  const WriteProtectFd other = WriteProtectFd::adopt(victim.make_userfaultfd());
  CHECK(other.register_range({a, a + 8 * kPageSize}) == RegisterStatus::ok);
  CHECK(fd.register_range({a, a + 8 * kPageSize}) == RegisterStatus::taken);
  victim.call(SYS_munmap, a, 8 * kPageSize);
  CHECK(fd.register_range({a, a + 8 * kPageSize}) == RegisterStatus::vanished);
  const long file = victim.call(SYS_openat, AT_FDCWD, "/usr/bin/bash", O_RDONLY, 0);
  const uint64_t b = victim.map(8, PROT_READ, MAP_SHARED, static_cast<int>(file));
  CHECK(fd.register_range({b, b + 8 * kPageSize}) == RegisterStatus::not_writable);
}

TEST_CASE("rounds: memory that another userfaultfd has is sent whole, every time") {
  Victim victim;
  const uint64_t a = victim.map(8);
  victim.fill(a, 8, 1);
  const WriteProtectFd other = WriteProtectFd::adopt(victim.make_userfaultfd());
  REQUIRE(other.register_range({a, a + 4 * kPageSize}) == RegisterStatus::ok);
  Move move(victim);
  move.round();
  move.round();
  CHECK(move.put_pages(a, 4).empty());  // registered in the same mode, so its marks can be used
  victim.store(a, 2);
  move.round();
  CHECK(move.put_pages(a, 8) == std::vector<uint64_t>{0});
  other.unregister_range({a, a + 4 * kPageSize});
  victim.store(a + kPageSize, 2);
  move.round();
  victim.stop();
  move.finish();
  CHECK(move.difference() == "");
}

TEST_CASE("pagemap: the plain entries agree with the scan") {
  Victim victim;
  const uint64_t a = victim.map(8);
  victim.store(a, 1);
  victim.load(a + 2 * kPageSize);
  const std::vector<uint64_t> entries = Pagemap::open(victim.pid()).entries({a, a + 8 * kPageSize});
  REQUIRE(entries.size() == 8);
  CHECK((entries[0] & uapi::kEntryPresent) != 0);
  CHECK((entries[1] & uapi::kEntryPresent) == 0);
  CHECK((entries[2] & uapi::kEntryPresent) != 0);
  CHECK((entries[2] & uapi::kEntryPfnMask) != (entries[0] & uapi::kEntryPfnMask));
}

TEST_CASE("pagemap: a replaced address space is distinguished from an ended process") {
  int input[2];
  REQUIRE(::pipe(input) == 0);
  const Fd read_end(input[0]);
  const Fd write_end(input[1]);
  Victim victim;  // becomes a cat that waits for its input
  victim.call(SYS_dup3, input[0], 0, 0);
  const uint64_t a = victim.map(1);
  uint64_t path = 0;
  std::memcpy(&path, "/bin/cat", sizeof path);
  victim.store(a, path);
  victim.store(a + 16, a);
  const Pagemap before = Pagemap::open(victim.pid());
  std::vector<PageRegion> regions;
  CHECK(before.scan({a, a + kPageSize}, {}, regions) == ScanStatus::ok);
  CHECK_THROWS(victim.call(SYS_execve, a, a + 16, 0));  // execve closes its command pipe
  CHECK(before.scan({a, a + kPageSize}, {}, regions) == ScanStatus::gone);
  CHECK(mm_fate(victim.pid()) == MmFate::replaced);
  CHECK(mm_fate(0x3fffffff) == MmFate::exited);
}

TEST_CASE("reader: protections, holes, and unreadable pages") {
  Victim victim;
  const uint64_t a = victim.map(8);
  victim.fill(a, 8, 100);
  victim.call(SYS_mprotect, a + 2 * kPageSize, kPageSize, PROT_NONE);
  victim.call(SYS_munmap, a + 4 * kPageSize, kPageSize);
  MemoryReader reader(victim.pid());
  const std::vector<PageRange> ranges{{a, a + 3 * kPageSize}, {a + 3 * kPageSize, a + 7 * kPageSize}};
  std::vector<std::byte> out(7 * kPageSize);
  std::vector<PageRange> failed;
  reader.read(ranges, out, failed);
  CHECK(failed == std::vector<PageRange>{{a + 4 * kPageSize, a + 5 * kPageSize}});
  for (const uint64_t i : std::vector<uint64_t>{0, 1, 2, 3, 5, 6}) {
    uint64_t word = 0;
    std::memcpy(&word, out.data() + i * kPageSize, sizeof word);
    CHECK(word == 100 + i);
  }
}

// A swap device of compressed memory; empty if this machine cannot have one.
class SwapDevice {
 public:
  SwapDevice() {
    try {
      std::string number = read_file("/sys/class/zram-control/hot_add");
      number.pop_back();
      path_ = "/dev/zram" + number;
      number_ = number;
      write_file("/sys/block/zram" + number + "/disksize", "33554432");
      if (::system(fmt::format("mkswap -q {0} >/dev/null 2>&1 && swapon {0}", path_).c_str()) == 0) on_ = true;
    } catch (const Error&) {
    }
  }
  ~SwapDevice() {
    if (on_) static_cast<void>(::syscall(SYS_swapoff, path_.c_str()));
    try {
      if (!number_.empty()) write_file("/sys/class/zram-control/hot_remove", number_);
    } catch (const Error&) {
    }
  }
  bool on() const { return on_; }

 private:
  std::string path_, number_;
  bool on_ = false;
};

TEST_CASE("rounds: swapped pages are content, and are tracked") {
  const SwapDevice swap;
  if (!swap.on()) {
    MESSAGE("no zram here: swapped pages are not looked at");
    return;
  }
  Victim victim;
  const uint64_t a = victim.map(64);
  victim.fill(a, 64, 1000);
  const uint64_t s = victim.map(16, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS);
  victim.fill(s, 16, 500);
  victim.call(SYS_madvise, a, 32 * kPageSize, MADV_PAGEOUT);
  const auto swapped = [&] {
    std::vector<PageRegion> regions;
    Pagemap::Query query;
    query.required = page_is::kSwapped;
    REQUIRE(Pagemap::open(victim.pid()).scan({a, a + 64 * kPageSize}, query, regions) == ScanStatus::ok);
    uint64_t pages = 0;
    for (const PageRegion& region : regions) pages += region.range.pages();
    return pages;
  };
  REQUIRE(swapped() > 0);
  Move move(victim);
  move.round();
  CHECK(move.put_pages(a, 64).size() == 64);
  victim.call(SYS_madvise, a, 32 * kPageSize, MADV_PAGEOUT);
  victim.call(SYS_madvise, s, 16 * kPageSize, MADV_PAGEOUT);
  move.round();
  CHECK(move.put_pages(a, 64).empty());
  victim.store(a + kPageSize, 1);
  victim.store(s + kPageSize, 1);
  victim.call(SYS_madvise, a, 32 * kPageSize, MADV_PAGEOUT);
  victim.call(SYS_madvise, s, 16 * kPageSize, MADV_PAGEOUT);
  victim.stop();
  move.finish();
  CHECK(move.put_pages(a, 64) == std::vector<uint64_t>{1});
  CHECK(move.difference() == "");
}

}  // namespace
}  // namespace crx
