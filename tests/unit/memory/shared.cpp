#include <doctest/doctest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <optional>
#include <vector>

#include "agent-src/memory/page_sender.hpp"
#include "agent-src/memory/shared_frames.hpp"
#include "common/base/error.hpp"
#include "common/base/mapping.hpp"
#include "common/kernel/memory/memory_reader.hpp"

namespace crx {
namespace {

// A child that has this process's memory and does nothing until it is killed.
class Forked {
 public:
  Forked() : pid_(::fork()) {
    if (pid_ != 0) return;
    for (;;) ::pause();
  }
  ~Forked() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_;
};

TEST_CASE("frames: memory shared by fork is found, and reading leaves it shared") {
  constexpr uint64_t kPages = 600;
  const Mapping memory = Mapping::map(kPages * kPageSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
  auto* bytes = memory.data();
  ::madvise(bytes, kPages * kPageSize, MADV_NOHUGEPAGE);
  for (uint64_t i = 0; i < kPages - 10; ++i) bytes[i * kPageSize] = std::byte{static_cast<unsigned char>(i + 1)};
  const auto start = reinterpret_cast<uint64_t>(bytes);
  const PageRange all{start, start + kPages * kPageSize};
  const Forked child;
  const Pagemap ours = Pagemap::open(::getpid());
  const Pagemap theirs = Pagemap::open(child.pid());
  if ((ours.entries({start, start + kPageSize}).at(0) << 9) == 0) return;  // the kernel hides frame numbers here

  const std::vector<PageRange> touched{{start, start + (kPages - 10) * kPageSize}};
  CHECK(same_frames(theirs, ours, {all}) == touched);
  CHECK(estimate_same_frames(theirs, ours, touched) == kPages - 10);

  std::vector<std::byte> out(all.bytes());
  std::vector<PageRange> failed;
  MemoryReader(child.pid()).read({&all, 1}, out, failed);
  CHECK(failed.empty());
  CHECK(std::memcmp(out.data(), bytes, out.size()) == 0);
  CHECK(same_frames(theirs, ours, touched) == touched);

  bytes[100 * kPageSize] = std::byte{0};
  const PageRange written{start + 100 * kPageSize, start + 101 * kPageSize};
  CHECK(same_frames(theirs, ours, touched) == subtract(touched, {written}));
}

TEST_CASE("frames: the few shared pages of a small process are counted, wherever they are") {
  constexpr uint64_t kPages = 800;
  const Mapping memory = Mapping::map(kPages * kPageSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
  ::madvise(memory.data(), kPages * kPageSize, MADV_NOHUGEPAGE);
  const auto start = reinterpret_cast<uint64_t>(memory.data());
  std::vector<PageRange> touched;
  const auto touch = [&](uint64_t page) {
    memory.data()[page * kPageSize] = std::byte{1};
    touched.push_back({start + page * kPageSize, start + (page + 1) * kPageSize});
  };
  for (uint64_t page = 0; page < kPages; page += 4) touch(page);
  const Forked child;
  const Pagemap ours = Pagemap::open(::getpid());
  const Pagemap theirs = Pagemap::open(child.pid());
  if ((ours.entries({start, start + kPageSize}).at(0) << 9) == 0) return;  // the kernel hides frame numbers here
  // Pages that we write are no longer shared: all but every fifth.
  for (std::size_t i = 0; i < touched.size(); ++i) {
    if (i % 5 != 2) memory.data()[touched[i].start - start] = std::byte{2};
  }
  CHECK(estimate_same_frames(theirs, ours, touched) == touched.size() / 5);
}

TEST_CASE("reading: an unreadable page is the end of a killed process, and an error of another one") {
  const Mapping memory = Mapping::map(kPageSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
  const auto start = reinterpret_cast<uint64_t>(memory.data());
  SendOutcome outcome;
  const auto code = [&](const MemoryReader& reader) {
    try {
      require_all_read(outcome, reader);
    } catch (const Error& error) {
      return error.code();
    }
    return ErrorCode::bug;
  };
  std::optional<MemoryReader> reader;
  {
    const Forked child;
    reader.emplace(child.pid());
    CHECK_NOTHROW(require_all_read(outcome, *reader));
    outcome.failed = {{start, start + kPageSize}};
    CHECK(code(*reader) == ErrorCode::refused);
  }
  CHECK(code(*reader) == ErrorCode::victim_gone);
}

TEST_CASE("frames: processes that have ended share nothing") {
  const Mapping memory = Mapping::map(kPageSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
  *memory.data() = std::byte{1};
  const auto start = reinterpret_cast<uint64_t>(memory.data());
  const Pagemap ours = Pagemap::open(::getpid());
  const Pagemap ended = [] {
    const Forked child;
    return Pagemap::open(child.pid());
  }();
  CHECK(same_frames(ended, ours, {{start, start + kPageSize}}).empty());
  CHECK(still_armed(ended, {{start, start + kPageSize}}).empty());
}

}  // namespace
}  // namespace crx
