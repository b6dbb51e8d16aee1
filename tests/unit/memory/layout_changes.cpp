// Both hosts compare layouts by the same function, each in its own terms: what the source owes after a change is what
// the destination loses when it follows.
#include <doctest/doctest.h>

#include <random>

#include "agent-dst/vessel/layout.hpp"
#include "agent-src/collect/kind/file_table.hpp"
#include "agent-src/collect/memory/memory_map.hpp"
#include "tests/unit/memory/victim.hpp"

namespace crx {
namespace {

using test::Victim;

constexpr uint64_t kLayoutPages = 64;

struct Layout {
  std::vector<MemoryVma> source;
  std::vector<Vma> destination;
};

Layout look(MemoryMap& map) {
  map.read();
  map.read_flags();
  map.describe();
  return {map.vmas(), vmas_of(map.description(), map.commit_charged())};
}

std::vector<PageRange> lost(const Layout& before, const Layout& now) {
  std::vector<PageRange> ranges;
  for (const LayoutChange& change : changes(before.destination, now.destination)) {
    if (change.kind == LayoutChange::Kind::map) ranges = unite(ranges, {{change.vma.start, change.vma.end}});
  }
  return ranges;
}

// One random change within kLayoutPages pages from `base` on.
void change(Victim& victim, std::mt19937_64& random, uint64_t base, long file, long memfd) {
  const uint64_t first = random() % kLayoutPages, count = 1 + random() % (kLayoutPages - first);
  const uint64_t at = base + first * kPageSize, bytes = count * kPageSize;
  constexpr int kAnonymous = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
  const auto map = [&](int flags, long fd) {
    const uint64_t offset = fd < 0 ? 0 : random() % 4 * kPageSize;
    victim.call(SYS_mmap, at, bytes, PROT_READ, flags, fd, offset);
  };
  switch (random() % 8) {
    case 0:
      return map(kAnonymous, -1);
    case 1:
      return map(kAnonymous | MAP_NORESERVE, -1);
    case 2:
      return map(MAP_PRIVATE | MAP_FIXED, file);
    case 3:
      return map(MAP_PRIVATE | MAP_FIXED, memfd);
    case 4:
      return map(MAP_SHARED | MAP_FIXED, memfd);
    case 5:
      victim.call(SYS_munmap, at, bytes);
      return;
    case 6:
      victim.call(SYS_mprotect, at, bytes, random() % 2 == 0 ? PROT_READ | PROT_WRITE : PROT_NONE);
      return;
    default: {
      const uint64_t to = base + random() % (kLayoutPages - count + 1) * kPageSize;
      victim.call(SYS_mremap, at, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, to);
    }
  }
}

TEST_CASE("layouts: the source owes what the destination loses") {
  Victim victim;
  FileTable files;
  MemoryMap map(victim.pid(), files);
  const uint64_t base = victim.map(kLayoutPages);
  const long file = victim.call(SYS_openat, AT_FDCWD, "/proc/self/exe", O_RDONLY);
  const long memfd = victim.call(SYS_memfd_create, "crx-layouts", 0);
  REQUIRE(file >= 0);
  REQUIRE(memfd >= 0);
  victim.call(SYS_ftruncate, memfd, kLayoutPages * 2 * kPageSize);
  std::mt19937_64 random(7);
  Layout before = look(map);
  uint64_t owed_pages = 0;
  for (int turn = 0; turn < 300; ++turn) {
    for (uint64_t n = 1 + random() % 3; n > 0; --n) change(victim, random, base, file, memfd);
    Layout now = look(map);
    const std::vector<PageRange> owed = changed_ranges(before.source, now.source);
    REQUIRE(owed == lost(before, now));
    owed_pages += total_pages(owed);
    before = std::move(now);
  }
  CHECK(owed_pages > 1000);
}

}  // namespace
}  // namespace crx
