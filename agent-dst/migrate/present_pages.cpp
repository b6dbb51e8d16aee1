#include "agent-dst/migrate/present_pages.hpp"

#include <algorithm>
#include <bit>

namespace crx {
namespace {

// The bits of one word that stand for the pages from `first` up to `end`, of which some lie in the word's 64 pages.
uint64_t mask_of(uint64_t word, uint64_t first, uint64_t end) {
  const uint64_t low = first > word * 64 ? first - word * 64 : 0;
  const uint64_t high = std::min<uint64_t>(end - word * 64, 64);
  const uint64_t below = high == 64 ? ~uint64_t{0} : (uint64_t{1} << high) - 1;
  return below & ~((uint64_t{1} << low) - 1);
}

}  // namespace

void PresentPages::add(PageSpace space, const std::vector<PageRange>& ranges) {
  Space& pieces = spaces_[space];
  for (const PageRange& range : ranges) {
    const uint64_t end = range.end / kPageSize;
    for (uint64_t page = range.start / kPageSize; page < end;) {
      const uint64_t base = page / kPagesPerPiece * kPagesPerPiece;
      const uint64_t until = std::min(end, base + kPagesPerPiece);
      Piece& piece = pieces[page / kPagesPerPiece];
      for (uint64_t word = (page - base) / 64; word * 64 < until - base; ++word) {
        const uint64_t bits = mask_of(word, page - base, until - base);
        pages_ += static_cast<uint64_t>(std::popcount(bits & ~piece[word]));
        piece[word] |= bits;
      }
      page = until;
    }
  }
}

void PresentPages::drop(Space& space, PageRange range) {
  const uint64_t first = range.start / kPageSize, end = range.end / kPageSize;
  if (first >= end) return;
  for (auto at = space.lower_bound(first / kPagesPerPiece); at != space.end();) {
    const uint64_t base = at->first * kPagesPerPiece;
    if (base >= end) return;
    const uint64_t from = std::max(first, base) - base, until = std::min(end - base, kPagesPerPiece);
    Piece& piece = at->second;
    for (uint64_t word = from / 64; word * 64 < until; ++word) {
      const uint64_t bits = mask_of(word, from, until);
      pages_ -= static_cast<uint64_t>(std::popcount(bits & piece[word]));
      piece[word] &= ~bits;
    }
    at = from == 0 && until == kPagesPerPiece ? space.erase(at) : std::next(at);
  }
}

void PresentPages::drop(PageSpace space, const std::vector<PageRange>& ranges) {
  const auto found = spaces_.find(space);
  if (found == spaces_.end()) return;
  for (const PageRange& range : ranges) drop(found->second, range);
}

void PresentPages::keep_only(PageSpace space, const std::vector<PageRange>& mapped) {
  const auto found = spaces_.find(space);
  if (found == spaces_.end()) return;
  uint64_t end = 0;
  for (const PageRange& range : mapped) {
    drop(found->second, {end, range.start});
    end = std::max(end, range.end);
  }
  drop(found->second, {end, ~uint64_t{0}});
}

void PresentPages::copy(PageSpace from, PageSpace space) {
  erase(space);
  const auto found = spaces_.find(from);
  if (found == spaces_.end()) return;
  Space pieces = found->second;
  for (const auto& [number, piece] : pieces) {
    for (const uint64_t word : piece) pages_ += static_cast<uint64_t>(std::popcount(word));
  }
  spaces_[space] = std::move(pieces);
}

void PresentPages::erase(PageSpace space) {
  const auto found = spaces_.find(space);
  if (found == spaces_.end()) return;
  drop(found->second, {0, ~uint64_t{0}});
  spaces_.erase(found);
}

}  // namespace crx
