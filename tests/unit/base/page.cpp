#include "common/base/page.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace crx {
namespace {

constexpr uint64_t kPages = 64;
using Marks = std::vector<bool>;

std::vector<PageRange> random_ranges(std::mt19937& random) {
  std::vector<PageRange> ranges;
  for (uint64_t at = random() % 6; at < kPages;) {
    const uint64_t end = std::min(kPages, at + 1 + random() % 8);
    ranges.push_back({at * kPageSize, end * kPageSize});
    at = end + 1 + random() % 6;
  }
  return ranges;
}

Marks marks(const std::vector<PageRange>& ranges) {
  Marks set(kPages);
  for (const PageRange& range : ranges) {
    for (uint64_t page = range.start / kPageSize; page < range.end / kPageSize; ++page) set[page] = true;
  }
  return set;
}

bool ascending_and_merged(const std::vector<PageRange>& ranges) {
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    if (ranges[i].start >= ranges[i].end) return false;
    if (i > 0 && ranges[i].start <= ranges[i - 1].end) return false;
  }
  return true;
}

}  // namespace

TEST_CASE("set operations on page ranges agree with sets of pages") {
  std::mt19937 random(1);
  for (int round = 0; round < 2000; ++round) {
    const auto a = random_ranges(random);
    const auto b = random_ranges(random);
    const Marks in_a = marks(a);
    const Marks in_b = marks(b);
    Marks both(kPages), either(kPages), only_a(kPages);
    for (uint64_t page = 0; page < kPages; ++page) {
      both[page] = in_a[page] && in_b[page];
      either[page] = in_a[page] || in_b[page];
      only_a[page] = in_a[page] && !in_b[page];
    }
    REQUIRE(marks(unite(a, b)) == either);
    REQUIRE(marks(intersect(a, b)) == both);
    REQUIRE(marks(subtract(a, b)) == only_a);
    REQUIRE(ascending_and_merged(unite(a, b)));
    REQUIRE(ascending_and_merged(intersect(a, b)));
    REQUIRE(ascending_and_merged(subtract(a, b)));
  }
}

TEST_CASE("page arithmetic at the edges") {
  CHECK(page_down(4095) == 0);
  CHECK(page_up(1) == 4096);
  CHECK(page_up(4096) == 4096);
  CHECK(page_up(0) == 0);
  CHECK(unite({}, {}).empty());
  CHECK(subtract({{0, 8192}}, {{0, 8192}}).empty());
  CHECK(total_pages({{0, 8192}, {16384, 20480}}) == 3);
}

}  // namespace crx
