// The property that everything rests on: after the last round, the pages that were sent equal the victim's memory. A
// victim changes its memory at random while rounds run.
#include <doctest/doctest.h>
#include <malloc.h>

#include "tests/unit/memory/victim.hpp"

namespace crx {
namespace {

using test::Move;
using test::Victim;

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15 + 1) {}
  uint64_t next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_;
  }
  uint64_t below(uint64_t limit) { return (next() >> 11) % limit; }

 private:
  uint64_t state_;
};

constexpr uint64_t kAreas = 24;
constexpr uint64_t kAreaPages = 48;

// Makes one random change to one of the areas, which lie side by side so that they split and merge.
void change(Random& random, char* base, const char* file_path, int memfd) {
  const uint64_t first = random.below(kAreas * kAreaPages);
  const uint64_t pages = 1 + random.below(kAreaPages);
  const uint64_t count = std::min(pages, kAreas * kAreaPages - first);
  char* at = base + first * kPageSize;
  const std::size_t bytes = count * kPageSize;
  constexpr int kProt = PROT_READ | PROT_WRITE;
  switch (random.below(12)) {
    case 0:
      ::mmap(at, bytes, kProt, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
      break;
    case 1:
      ::madvise(at, bytes, MADV_DONTNEED);
      break;
    case 2: {
      const int fd = ::open(file_path, O_RDONLY);
      ::mmap(at, bytes, kProt, MAP_PRIVATE | MAP_FIXED, fd, static_cast<off_t>(random.below(16) * kPageSize));
      ::close(fd);
      break;
    }
    case 3: {
      char* to = base + random.below(kAreas * kAreaPages - count) * kPageSize;
      if (to + bytes <= at || at + bytes <= to) {
        // A failed mremap may have unmapped its target; later stores need both places.
        if (::mremap(at, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, to) == MAP_FAILED) {
          ::mmap(to, bytes, kProt, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        }
        ::mmap(at, bytes, kProt, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
      }
      break;
    }
    case 4:
      ::mprotect(at, bytes, PROT_READ);
      ::mprotect(at, bytes, kProt);
      break;
    case 5:
      if (::madvise(at, bytes, MADV_GUARD_INSTALL) == 0) ::madvise(at, bytes, MADV_GUARD_REMOVE);
      break;
    case 6: {
      ::munmap(at, bytes);
      ::mmap(at, bytes, kProt, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
      break;
    }
    case 7:
      ::mmap(at, bytes, kProt, MAP_SHARED | MAP_FIXED, memfd, static_cast<off_t>(random.below(16) * kPageSize));
      break;
    case 8:
      ::madvise(at, bytes, MADV_PAGEOUT);
      break;
    case 9: {
      const uint64_t value = random.next();
      static_cast<void>(::pwrite(memfd, &value, sizeof value, static_cast<off_t>(random.below(64) * kPageSize)));
      break;
    }
    case 10:
      ::madvise(at, bytes, MADV_REMOVE);
      break;
    case 11: {
      const pid_t child = ::fork();
      if (child == 0) ::_exit(0);
      ::waitpid(child, nullptr, 0);
      break;
    }
    default:
      break;
  }
}

// Never returns. Every 64th step changes a mapping, the others store a word.
void churn(uint64_t seed, int replies) {
  Random random(seed);
  auto* base = static_cast<char*>(
      ::mmap(nullptr, kAreas * kAreaPages * kPageSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  const int memfd = ::memfd_create("churn", MFD_CLOEXEC);
  if (::ftruncate(memfd, 64 * kPageSize) != 0) ::_exit(1);
  const long userfaultfd = ::syscall(SYS_userfaultfd, WriteProtectFd::create_flags());
  if (::write(replies, &userfaultfd, sizeof userfaultfd) != sizeof userfaultfd) ::_exit(1);
  for (uint64_t step = 0;; ++step) {
    if (step % 64 == 63) {
      change(random, base, "/usr/bin/bash", memfd);
      continue;
    }
    // Pages of a mapping that lie beyond the object's end are never stored to (64 >= 16 + 48).
    char* at = base + random.below(kAreas * kAreaPages) * kPageSize + 8 * random.below(512);
    if (random.below(8) == 0) {
      static_cast<void>(*reinterpret_cast<volatile uint64_t*>(at));
    } else {
      *reinterpret_cast<volatile uint64_t*>(at) = random.next();
    }
  }
}

void run(uint64_t seed, int moves, TrackerKind kind) {
  ::malloc_trim(0);  // the victim is forked with all memory of this process, which is sent and compared
  Victim victim([seed](int, int replies) { churn(seed, replies); });
  long fd = -1;
  REQUIRE(Victim::read_all(victim.replies(), &fd, sizeof fd));
  Move move(victim, kind, [&] { return victim.take(fd); });
  Random random(seed + 1000);
  for (int i = 0; i < moves; ++i) {
    const uint64_t rounds = random.below(4);
    for (uint64_t r = 0; r < rounds; ++r) move.round();
    victim.stop();
    move.finish();
    const std::string difference = move.difference();
    INFO("seed ", seed, " move ", i);
    REQUIRE(difference == "");
    victim.go();
  }
}

TEST_CASE("random: the shadow equals the victim after every final round (wp-async)") {
  for (uint64_t seed = 1; seed <= 4; ++seed) run(seed, 60, TrackerKind::wp_async);
}

TEST_CASE("random: the shadow equals the victim after every final round (hash)") {
  run(9, 40, TrackerKind::hash);
}

}  // namespace
}  // namespace crx
