// The pages of a tree that have arrived and are still there, counted.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <vector>

#include "common/base/page.hpp"

namespace crx {

// A page counts once, however often it arrives. The cost of a call is a few operations for each 64 pages; the memory, a
// bit for each page, in pieces for 16 MiB.
class PresentPages {
 public:
  void add(PageSpace space, const std::vector<PageRange>& ranges);
  void drop(PageSpace space, const std::vector<PageRange>& ranges);
  // Drops all pages of the space that do not lie in `mapped`, ascending ranges.
  void keep_only(PageSpace space, const std::vector<PageRange>& mapped);
  // Gives `space` the pages that `from` has.
  void copy(PageSpace from, PageSpace space);
  void erase(PageSpace space);
  uint64_t bytes() const noexcept { return pages_ * kPageSize; }

 private:
  static constexpr uint64_t kPagesPerPiece = 4096;
  using Piece = std::array<uint64_t, kPagesPerPiece / 64>;
  using Space = std::map<uint64_t, Piece>;  // by the number of its first page, divided by kPagesPerPiece

  void drop(Space& space, PageRange range);

  std::map<PageSpace, Space> spaces_;
  uint64_t pages_ = 0;
};

}  // namespace crx
