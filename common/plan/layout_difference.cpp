#include "common/plan/layout_difference.hpp"

#include <algorithm>

namespace crx {

std::vector<PageRange> kept_ranges(const std::vector<MappedPiece>& before, const std::vector<MappedPiece>& now) {
  std::vector<PageRange> kept;
  auto old = before.begin();
  for (const MappedPiece& piece : now) {
    while (old != before.end() && old->range.end <= piece.range.start) ++old;
    for (auto it = old; it != before.end() && it->range.start < piece.range.end; ++it) {
      const PageRange both{std::max(it->range.start, piece.range.start), std::min(it->range.end, piece.range.end)};
      if (it->identity == piece.identity) append_range(kept, both);
    }
  }
  return kept;
}

std::vector<PageRange> renewed_ranges(const std::vector<MappedPiece>& before, const std::vector<MappedPiece>& now) {
  std::vector<PageRange> mapped;
  for (const MappedPiece& piece : now) append_range(mapped, piece.range);
  return subtract(mapped, kept_ranges(before, now));
}

}  // namespace crx
