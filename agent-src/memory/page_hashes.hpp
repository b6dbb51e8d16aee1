// What was sent last, page by page, as digests: finds changed pages where no write tracking can.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "common/base/page.hpp"

namespace crx {

// XXH3-64 per page of one address space or object; 8 bytes for each page sent.
class PageHashes {
 public:
  // Whether these bytes differ from what was recorded for the page last; records them.
  bool update(uint64_t addr, std::span<const std::byte> page);
  // Takes the record away, so that update() says yes.
  void forget(PageRange range);
  // The records that `from` has of these pages, and no others.
  void take(const PageHashes& from, const std::vector<PageRange>& ranges);
  bool empty() const noexcept { return chunks_.empty(); }

 private:
  static constexpr uint64_t kChunkPages = 512;
  std::unordered_map<uint64_t, std::array<uint64_t, kChunkPages>> chunks_;  // 0: not recorded
};

}  // namespace crx
