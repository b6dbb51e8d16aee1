// The second way into a file on tmpfs (userfaultfd): what it does, what it leaves to write(2), and both ways at once.
#include <doctest/doctest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <thread>
#include <vector>

#include "common/base/page.hpp"
#include "common/image/image_directory.hpp"
#include "common/image/tmpfs_pages.hpp"

using namespace crx;

namespace {

std::vector<std::byte> pattern(std::size_t bytes, unsigned seed) {
  std::vector<std::byte> made(bytes);
  uint64_t state = seed + 1;
  for (std::byte& byte : made)
    byte = static_cast<std::byte>((state = state * 6364136223846793005U + 1442695040888963407U) >> 56);
  return made;
}

std::vector<std::byte> content(int file, uint64_t offset, std::size_t bytes) {
  std::vector<std::byte> found(bytes);
  REQUIRE(::pread(file, found.data(), bytes, static_cast<off_t>(offset)) == static_cast<ssize_t>(bytes));
  return found;
}

}  // namespace

TEST_CASE("pages are put into a file on tmpfs where it has none, and below its end") {
  const Fd file(::memfd_create("pages", MFD_CLOEXEC));
  REQUIRE(::ftruncate(file.get(), 16 * kPageSize) == 0);
  const auto way = TmpfsPages::of(file.get());
  REQUIRE(way);
  const std::vector<std::byte> four = pattern(4 * kPageSize, 1);
  CHECK(way->fill(8 * kPageSize, four));
  CHECK(content(file.get(), 8 * kPageSize, four.size()) == four);
  CHECK(content(file.get(), 0, kPageSize) == std::vector<std::byte>(kPageSize));
  CHECK_FALSE(way->fill(9 * kPageSize, four));   // the pages exist already
  CHECK_FALSE(way->fill(14 * kPageSize, four));  // beyond the end of the file
  CHECK_FALSE(way->fill(100, four));
  CHECK_FALSE(way->fill(0, std::span(four).first(100)));
  CHECK(content(file.get(), 8 * kPageSize, four.size()) == four);
}

TEST_CASE("there is no second way where write(2) is better, or the only way") {
  std::array<int, 2> ends{};
  REQUIRE(::pipe(ends.data()) == 0);
  const Fd reading(ends[0]), writing(ends[1]);
  CHECK_FALSE(TmpfsPages::of(writing.get()));
}

TEST_CASE("many write chunks of one image at a time") {
  Fd file(::memfd_create("pages", MFD_CLOEXEC));
  const int number = file.get();
  RawImage image(std::move(file), {}, "pages-1.img");
  constexpr std::size_t kChunks = 70, kThreads = 4, kLast = 3 * kPageSize;
  std::vector<std::vector<std::byte>> chunks;
  for (unsigned i = 0; i < kChunks; ++i) chunks.push_back(pattern(i + 1 == kChunks ? kLast : kChunkBytes, i));
  for (std::size_t i = 0; i < kChunks; ++i) image.digest_at(i * kChunkBytes, chunks[i]);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (std::size_t i = t; i < kChunks; i += kThreads) image.write_at(i * kChunkBytes, chunks[i]);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (std::size_t i = 0; i < kChunks; ++i) CHECK(content(number, i * kChunkBytes, chunks[i].size()) == chunks[i]);
}
