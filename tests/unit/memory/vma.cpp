#include "agent-src/memory/vma.hpp"
#include "common/kernel/ipc/sysv_ipc.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "common/base/error.hpp"
#include "tests/unit/memory/victim.hpp"

namespace crx {
namespace {

using test::Move;
using test::Victim;

MemoryVma parse(const std::string& line) {
  return classify_vma(proc::parse_maps_line(line));
}

TEST_CASE("vma: kinds") {
  const std::string shmem = fmt::format("00:{:02x}", shmem_device() & 0xff);
  CHECK(parse("1000-2000 rw-p 00000000 00:00 0").kind == VmaKind::private_anon);
  CHECK(parse("1000-2000 rw-p 00000000 00:00 0      [heap]").kind == VmaKind::private_anon);
  CHECK(parse("1000-2000 rw-p 00000000 00:00 0      [stack]").kind == VmaKind::private_anon);
  CHECK(parse("1000-2000 rw-p 00000000 00:00 0      [anon:x]").kind == VmaKind::private_anon);
  CHECK(parse("1000-2000 r--p 00000000 fe:00 12     /usr/bin/cat").kind == VmaKind::private_file);
  CHECK(parse("1000-2000 rw-s 00000000 fe:00 12     /tmp/x").kind == VmaKind::shared_file);
  CHECK(parse("1000-2000 r-xp 00000000 00:00 0      [vdso]").kind == VmaKind::special);
  CHECK(parse("1000-2000 r--p 00000000 00:00 0      [vvar]").kind == VmaKind::special);
  CHECK(parse("1000-2000 r--p 00000000 00:00 0      [vvar_vclock]").kind == VmaKind::special);
  CHECK(parse("1000-2000 rw-s 00000000 " + shmem + " 12  /dev/zero (deleted)").kind == VmaKind::shmem);
  CHECK(parse("1000-2000 rw-s 00000000 " + shmem + " 12  /dev/zero (deleted)").anonymous_shared);
  CHECK(parse("1000-2000 rw-s 00000000 " + shmem + " 12  /memfd:x (deleted)").kind == VmaKind::shmem);
  CHECK(parse("1000-2000 rw-p 00000000 " + shmem + " 12  /memfd:x (deleted)").kind == VmaKind::private_file);
  CHECK(parse("1000-2000 rw-s 00000000 " + shmem + " 12  /SYSV00000000 (deleted)").kind == VmaKind::shmem);
  const MemoryVma huge = parse("200000-400000 rw-s 00000000 00:fe 12  /memfd:huge (deleted)");
  CHECK(huge.kind == VmaKind::shmem);
  CHECK(huge.huge);
  CHECK_FALSE(huge.anonymous_shared);
  CHECK(huge.ino == (12 | kHugeObjectBit));
  CHECK(parse("200000-400000 rw-p 00000000 00:fe 12  /memfd:huge (deleted)").kind == VmaKind::private_file);
  const MemoryVma anonymous = parse("200000-400000 rw-p 00000000 00:fe 12  /anon_hugepage (deleted)");
  CHECK(anonymous.kind == VmaKind::private_anon);
  CHECK(anonymous.huge);
  CHECK(parse("200000-400000 rw-s 00000000 00:fe 12  /anon_hugepage (deleted)").anonymous_shared);
  CHECK_FALSE(parse("200000-400000 rw-s 00000000 fe:01 12  /anon_hugepage (deleted)").huge);
  const MemoryVma segment = parse("200000-400000 rw-s 00000000 00:fe 12  /SYSV00000000 (deleted)");
  CHECK(segment.kind == VmaKind::shmem);
  CHECK(segment.huge);
  CHECK(segment.ino == (12 | kSysvObjectBit));
  CHECK(parse("200000-400000 rw-s 00000000 00:fe 12  /dev/hugepages/x").kind == VmaKind::hugetlb);
  CHECK(parse("1000-2000 rw-s 00000000 00:05 12  /dev/dri/card0").kind == VmaKind::device);
  CHECK(parse("1000-2000 rw-s 00000000 00:17 12  /dev/shm/x").kind == VmaKind::shared_file);
  CHECK(parse("1000-2000 rw-s 00000000 00:0e 12  anon_inode:[io_uring]").kind == VmaKind::device);
}

TEST_CASE("vma: changed ranges") {
  const MemoryVma anon = parse("1000-5000 rw-p 00000000 00:00 0");
  const MemoryVma grown = parse("1000-7000 r--p 00000000 00:00 0");
  const MemoryVma file = parse("1000-5000 rw-p 00001000 fe:00 12  /x");
  const MemoryVma tail = parse("3000-5000 rw-p 00003000 fe:00 12  /x");
  const MemoryVma shifted = parse("3000-5000 rw-p 00002000 fe:00 12  /x");
  using Ranges = std::vector<PageRange>;
  CHECK(changed_ranges({anon}, {anon}).empty());
  CHECK(changed_ranges({anon}, {grown}) == Ranges{{0x5000, 0x7000}});
  CHECK(changed_ranges({anon}, {file}) == Ranges{{0x1000, 0x5000}});
  CHECK(changed_ranges({file}, {tail}).empty());
  CHECK(changed_ranges({file}, {shifted}) == Ranges{{0x3000, 0x5000}});
  MemoryVma reborn = anon;
  reborn.birth = 2;
  CHECK(changed_ranges({anon}, {reborn}) == Ranges{{0x1000, 0x5000}});
  CHECK(changed_ranges({}, {anon}) == Ranges{{0x1000, 0x5000}});
  CHECK(changed_ranges({anon}, {}).empty());
}

TEST_CASE("vma: a mapping that cannot be moved is named when it appears") {
  Victim victim;
  Move move(victim);
  move.round();
  const uint64_t name = victim.map(1);
  const long ring = victim.call(SYS_io_setup, 1, name);
  REQUIRE(ring == 0);
  CHECK_THROWS_AS(move.round(), Error);  // its memory was not compared by content from the start
}

}  // namespace
}  // namespace crx
