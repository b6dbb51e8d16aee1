#include "agent-src/memory/page_hashes.hpp"

#include <algorithm>

#include "common/base/digest.hpp"

namespace crx {

bool PageHashes::update(uint64_t addr, std::span<const std::byte> page) {
  const uint64_t index = addr / kPageSize;
  uint64_t& recorded = chunks_[index / kChunkPages][index % kChunkPages];
  const uint64_t now = std::max<uint64_t>(digest64(page), 1);
  if (recorded == now) return false;
  recorded = now;
  return true;
}

void PageHashes::forget(PageRange range) {
  for (uint64_t index = range.start / kPageSize; index < range.end / kPageSize;) {
    const uint64_t chunk = index / kChunkPages;
    const uint64_t stop = std::min((chunk + 1) * kChunkPages, range.end / kPageSize);
    const auto found = chunks_.find(chunk);
    if (found != chunks_.end()) {
      if (stop - index == kChunkPages) {
        chunks_.erase(found);
      } else {
        std::fill(found->second.begin() + static_cast<std::ptrdiff_t>(index % kChunkPages),
                  found->second.begin() + static_cast<std::ptrdiff_t>(index % kChunkPages + (stop - index)), 0);
      }
    }
    index = stop;
  }
}

void PageHashes::take(const PageHashes& from, const std::vector<PageRange>& ranges) {
  chunks_.clear();
  for (const PageRange& range : ranges) {
    for (uint64_t index = range.start / kPageSize; index < range.end / kPageSize; ++index) {
      const auto found = from.chunks_.find(index / kChunkPages);
      if (found != from.chunks_.end())
        chunks_[index / kChunkPages][index % kChunkPages] = found->second[index % kChunkPages];
    }
  }
}

}  // namespace crx
