#include <doctest/doctest.h>

#include "common/base/error.hpp"
#include "common/kernel/memory/space_digest.hpp"
#include "tests/unit/memory/victim.hpp"

namespace crx {
namespace {

using test::Victim;

std::vector<DigestRange> private_ranges(const Victim& victim) {
  std::vector<DigestRange> out;
  for (const MemoryVma& vma : victim.vmas()) {
    if (is_private(vma.kind)) out.push_back({vma.range, vma.kind == VmaKind::private_file, vma.offset});
  }
  return out;
}

TEST_CASE("digest: absent, zero page and zeros written are the same; one byte is not") {
  Victim victim;
  const uint64_t a = victim.map(600);
  victim.fill(a, 100, 1);
  const std::vector<DigestRange> range{{{a, a + 600 * kPageSize}}};
  victim.stop();
  const SpaceDigest first = digest_space(victim.pid(), range);
  CHECK(first.present_pages == 100);
  CHECK(first == digest_space(victim.pid(), range));
  victim.go();
  victim.load(a + 300 * kPageSize);
  victim.store(a + 400 * kPageSize, 0);
  CHECK(digest_space(victim.pid(), range) == first);
  victim.store(a + 400 * kPageSize + 4088, 1);
  const SpaceDigest second = digest_space(victim.pid(), range);
  CHECK(second.present_pages == 101);
  CHECK(second.digest != first.digest);
  const std::vector<PageRange> different = differing_chunks(first, second);
  REQUIRE(different.size() == 1);
  CHECK(different[0].start <= a + 400 * kPageSize);
  CHECK(different[0].end > a + 400 * kPageSize);
  CHECK(differing_chunks(second, second).empty());
}

TEST_CASE("digest: a page moved by one is a difference") {
  Victim victim;
  const uint64_t a = victim.map(4);
  victim.store(a, 5);
  const std::vector<DigestRange> range{{{a, a + 4 * kPageSize}}};
  const SpaceDigest first = digest_space(victim.pid(), range);
  victim.store(a, 0);
  victim.store(a + kPageSize, 5);
  CHECK(digest_space(victim.pid(), range) != first);
}

TEST_CASE("digest: private file pages count where they differ from the file") {
  Victim victim;
  const long fd = victim.call(SYS_openat, AT_FDCWD, "/usr/bin/bash", O_RDONLY, 0);
  const uint64_t a = victim.map(8, PROT_READ | PROT_WRITE, MAP_PRIVATE, static_cast<int>(fd));
  const auto digest = [&] { return digest_space(victim.pid(), {{{a, a + 8 * kPageSize}, true, 0}}); };
  CHECK(digest().present_pages == 0);
  const uint64_t word = victim.load(a + kPageSize);
  victim.store(a + kPageSize, word);  // a private copy that equals the file's content
  CHECK(digest().present_pages == 0);
  victim.store(a + kPageSize, word + 1);
  CHECK(digest().present_pages == 1);
}

TEST_CASE("digest: objects, PROT_NONE, and a process that has ended") {
  Victim victim;
  const long fd = victim.call(SYS_memfd_create, "/usr", 0);
  victim.call(SYS_ftruncate, fd, 8 * kPageSize);
  const uint64_t a = victim.map(8, PROT_READ | PROT_WRITE, MAP_SHARED, static_cast<int>(fd));
  victim.store(a + kPageSize, 1);
  victim.store(a + 2 * kPageSize, 0);
  const Fd ours = victim.take(fd);
  CHECK(digest_object(ours.get()).present_pages == 1);
  const uint64_t b = victim.map(4);
  victim.store(b, 1);
  victim.call(SYS_mprotect, b, 4 * kPageSize, PROT_NONE);
  CHECK(digest_space(victim.pid(), {{{b, b + 4 * kPageSize}}}).present_pages == 1);
  const auto ranges = private_ranges(victim);
  CHECK(digest_space(victim.pid(), ranges).present_pages > 20);
  ::kill(victim.pid(), SIGKILL);
  siginfo_t info;
  ::waitid(P_PID, static_cast<id_t>(victim.pid()), &info, WEXITED | WNOWAIT);
  CHECK_THROWS_AS(digest_space(victim.pid(), ranges), Error);
}

}  // namespace
}  // namespace crx
