#include <doctest/doctest.h>

#include "tests/unit/memory/victim.hpp"

namespace crx {
namespace {

using test::Move;
using test::Victim;
using Pages = std::vector<uint64_t>;

constexpr int kShared = MAP_SHARED | MAP_ANONYMOUS;
constexpr int kReadWrite = PROT_READ | PROT_WRITE;

// Returns the offsets (in pages) of the only object that the last round put.
Pages object_pages(const Move& move) {
  Pages out;
  for (const uint64_t at : move.shadow.last_put) {
    if (at < (uint64_t{1} << 30)) out.push_back(at / kPageSize);
  }
  return out;
}

long memfd(Victim& victim, uint64_t pages) {
  const uint64_t name = victim.map(1);
  victim.store(name, 'x');
  const long fd = victim.call(SYS_memfd_create, name, 0);
  victim.call(SYS_ftruncate, fd, pages * kPageSize);
  return fd;
}

TEST_CASE("objects: shared anonymous memory, written, dropped from the page table, removed") {
  Victim victim;
  const uint64_t a = victim.map(32, kReadWrite, kShared);
  victim.fill(a, 16, 7);
  Move move(victim);
  move.round();
  CHECK(object_pages(move).size() == 16);
  move.round();
  CHECK(object_pages(move).empty());
  victim.store(a + 3 * kPageSize, 1);
  victim.store(a + 20 * kPageSize, 1);
  // Written, then dropped from the page table: the mark is lost, the content is not.
  victim.store(a + 5 * kPageSize, 55);
  victim.call(SYS_madvise, a + 5 * kPageSize, kPageSize, MADV_DONTNEED);
  move.round();
  CHECK(object_pages(move) == Pages{3, 5, 20});
  victim.call(SYS_madvise, a + 8 * kPageSize, 2 * kPageSize, MADV_REMOVE);
  victim.store(a + 6 * kPageSize, 66);
  victim.call(SYS_madvise, a + 6 * kPageSize, kPageSize, MADV_DONTNEED);
  victim.stop();
  const FinalMemory final_memory = move.finish();
  CHECK(object_pages(move) == Pages{6});
  REQUIRE(final_memory.objects.size() == 1);
  CHECK(final_memory.objects[0].holes == std::vector<PageRange>{{8 * kPageSize, 10 * kPageSize}});
  CHECK(final_memory.objects[0].size == 32 * kPageSize);
  CHECK(move.difference() == "");
}

TEST_CASE("objects: a memfd written past the page tables is compared by content") {
  Victim victim;
  const long fd = memfd(victim, 32);
  const uint64_t a = victim.map(16, kReadWrite, MAP_SHARED, static_cast<int>(fd));
  victim.fill(a, 8, 7);
  const uint64_t source = victim.map(1);
  victim.fill(source, 1, 0x1234);
  Move move(victim);
  move.round();
  CHECK(object_pages(move).size() == 8);
  CHECK(victim.call(SYS_pwrite64, fd, source, 8, 2 * kPageSize) == 8);
  CHECK(victim.call(SYS_pwrite64, fd, source, 8, 30 * kPageSize) == 8);
  move.round();
  CHECK(object_pages(move) == Pages{2, 30});
  CHECK(victim.call(SYS_pwrite64, fd, source, 8, 3 * kPageSize) == 8);
  victim.call(SYS_fallocate, fd, 3 /* punch a hole, keep the size */, 4 * kPageSize, kPageSize);
  victim.stop();
  const FinalMemory final_memory = move.finish();
  CHECK(object_pages(move) == Pages{3});
  REQUIRE(final_memory.objects.size() == 1);
  CHECK(final_memory.objects[0].holes == std::vector<PageRange>{{4 * kPageSize, 5 * kPageSize}});
  CHECK(move.difference() == "");
}

TEST_CASE("objects: two mappings of one object, one of them gone meanwhile") {
  Victim victim;
  const long fd = memfd(victim, 32);
  const uint64_t a = victim.map(32, kReadWrite, MAP_SHARED, static_cast<int>(fd));
  const uint64_t b = victim.map(32, kReadWrite, MAP_SHARED, static_cast<int>(fd));
  victim.call(SYS_close, fd);
  victim.fill(a, 8, 7);
  Move move(victim);
  for (const MemoryVma& vma : victim.vmas()) {
    if (vma.kind == VmaKind::shmem) move.rounds.objects().set_untracked_writers({vma.dev, vma.ino}, false);
  }
  move.round();
  CHECK(object_pages(move).size() == 8);
  victim.store(a + kPageSize, 1);
  victim.store(b + 2 * kPageSize, 1);
  victim.store(b + 20 * kPageSize, 1);
  move.round();
  CHECK(object_pages(move) == Pages{1, 2, 20});
  victim.store(b + 3 * kPageSize, 33);
  victim.call(SYS_munmap, b, 32 * kPageSize);
  victim.stop();
  move.finish();
  CHECK(move.difference() == "");
}

TEST_CASE("objects: a second mapping that is not used does not make them dirty") {
  Victim victim;
  const long fd = memfd(victim, 2048);
  const uint64_t a = victim.map(2048, kReadWrite, MAP_SHARED, static_cast<int>(fd));
  victim.map(2048, kReadWrite, MAP_SHARED, static_cast<int>(fd));
  victim.call(SYS_close, fd);
  victim.fill(a, 2048, 7);
  Move move(victim);
  for (const MemoryVma& vma : victim.vmas()) {
    if (vma.kind == VmaKind::shmem) move.rounds.objects().set_untracked_writers({vma.dev, vma.ino}, false);
  }
  move.round();
  CHECK(object_pages(move).size() == 2048);
  move.round();
  CHECK(object_pages(move).empty());
  victim.stop();
  move.finish();
  CHECK(object_pages(move).empty());
  CHECK(move.difference() == "");
}

TEST_CASE("objects: only mapped privately, only offered, unmapped and back") {
  Victim victim;
  const uint64_t source = victim.map(1);
  victim.fill(source, 1, 0x1234);
  const long fd = memfd(victim, 8);
  CHECK(victim.call(SYS_pwrite64, fd, source, 8, kPageSize) == 8);
  const uint64_t a = victim.map(8, kReadWrite, MAP_PRIVATE, static_cast<int>(fd));
  victim.store(a, 9);  // a private copy, which is not part of the object
  Move move(victim);
  move.round();
  CHECK(object_pages(move) == Pages{0, 1});  // making the private copy put a page into the object, too
  CHECK(move.put_pages(a, 8) == Pages{0});
  victim.call(SYS_munmap, a, 8 * kPageSize);
  move.round();
  victim.map(8, kReadWrite, MAP_SHARED, static_cast<int>(fd));
  victim.call(SYS_fallocate, fd, 3, kPageSize, kPageSize);
  CHECK(victim.call(SYS_pwrite64, fd, source, 8, 3 * kPageSize) == 8);
  victim.stop();
  const FinalMemory final_memory = move.finish();
  REQUIRE(final_memory.objects.size() == 1);
  CHECK(final_memory.objects[0].holes == std::vector<PageRange>{{kPageSize, 2 * kPageSize}});
  CHECK(move.difference() == "");
  victim.go();

  const long other = memfd(victim, 8);
  CHECK(victim.call(SYS_pwrite64, other, source, 8, 0) == 8);
  move.rounds.objects().offer(victim.take(other));
  move.round();
  CHECK(object_pages(move) == Pages{0});
}

TEST_CASE("objects: the hash tracker") {
  Victim victim;
  const uint64_t a = victim.map(32, kReadWrite, kShared);
  victim.fill(a, 16, 7);
  Move move(victim, TrackerKind::hash);
  move.round();
  CHECK(object_pages(move).size() == 16);
  victim.store(a + 3 * kPageSize, 1);
  victim.stop();
  move.finish();
  CHECK(object_pages(move) == Pages{3});
  CHECK(move.difference() == "");
}

}  // namespace
}  // namespace crx
