#include "common/plan/layout_difference.hpp"

#include <doctest/doctest.h>

namespace crx {
namespace {

using Ranges = std::vector<PageRange>;

MappedPiece piece(uint64_t start, uint64_t end, uint64_t object = 0, uint64_t offset = 0) {
  MappedPiece made{{start, end}, {}};
  made.identity.object = object;
  if (object != 0) made.identity.origin = offset - start;
  return made;
}

TEST_CASE("layout difference: what grows, shrinks and splits keeps its pages") {
  CHECK(renewed_ranges({}, {piece(0x1000, 0x5000)}) == Ranges{{0x1000, 0x5000}});
  CHECK(renewed_ranges({piece(0x1000, 0x5000)}, {}).empty());
  CHECK(renewed_ranges({piece(0x1000, 0x5000)}, {piece(0x1000, 0x7000)}) == Ranges{{0x5000, 0x7000}});
  CHECK(renewed_ranges({piece(0x1000, 0x7000)}, {piece(0x1000, 0x2000), piece(0x4000, 0x5000)}).empty());
  CHECK(kept_ranges({piece(0x1000, 0x7000)}, {piece(0x1000, 0x2000), piece(0x4000, 0x5000)}) ==
        Ranges{{0x1000, 0x2000}, {0x4000, 0x5000}});
}

TEST_CASE("layout difference: a file stays where its bytes stay") {
  CHECK(renewed_ranges({piece(0x1000, 0x5000, 7, 0x1000)}, {piece(0x3000, 0x5000, 7, 0x3000)}).empty());
  CHECK(renewed_ranges({piece(0x1000, 0x5000, 7, 0x1000)}, {piece(0x3000, 0x5000, 7, 0x2000)}) ==
        Ranges{{0x3000, 0x5000}});
  CHECK(renewed_ranges({piece(0x1000, 0x5000, 7)}, {piece(0x1000, 0x5000, 8)}) == Ranges{{0x1000, 0x5000}});
  CHECK(renewed_ranges({piece(0x1000, 0x5000)}, {piece(0x1000, 0x5000, 8)}) == Ranges{{0x1000, 0x5000}});
}

TEST_CASE("layout difference: kind, device and birth count") {
  for (uint64_t MappingIdentity::*member :
       {&MappingIdentity::kind, &MappingIdentity::device, &MappingIdentity::birth}) {
    MappedPiece other = piece(0x1000, 0x5000, 7);
    other.identity.*member = 1;
    CHECK(renewed_ranges({piece(0x1000, 0x5000, 7)}, {other}) == Ranges{{0x1000, 0x5000}});
    CHECK(renewed_ranges({other}, {other}).empty());
  }
}

TEST_CASE("layout difference: of neighbours only the one that differs is renewed") {
  const std::vector<MappedPiece> before = {piece(0x1000, 0x2000), piece(0x2000, 0x3000, 7), piece(0x3000, 0x6000)};
  const std::vector<MappedPiece> now = {piece(0x1000, 0x2000), piece(0x2000, 0x3000, 9), piece(0x3000, 0x6000)};
  CHECK(kept_ranges(before, now) == Ranges{{0x1000, 0x2000}, {0x3000, 0x6000}});
  CHECK(renewed_ranges(before, now) == Ranges{{0x2000, 0x3000}});
}

}  // namespace
}  // namespace crx
