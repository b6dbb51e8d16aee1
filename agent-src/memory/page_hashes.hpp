// Digests of the pages that were sent last: they find changed pages where writes cannot be tracked.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "common/base/page.hpp"

namespace crx {

// One XXH3-64 digest per page of one address space or object; takes 8 bytes for each page sent.
class PageHashes {
 public:
  // Records the digest of this page and returns whether it differs from the one recorded before (also if there was
  // none).
  bool update(uint64_t addr, std::span<const std::byte> page);
  // Deletes the records of `range`, so that update() returns true for these pages.
  void forget(PageRange range);
  // Replaces all records by those that `from` has for the pages of `ranges`.
  void take(const PageHashes& from, const std::vector<PageRange>& ranges);
  bool empty() const noexcept { return chunks_.empty(); }

 private:
  static constexpr uint64_t kChunkPages = 512;
  std::unordered_map<uint64_t, std::array<uint64_t, kChunkPages>> chunks_;  // 0: not recorded
};

}  // namespace crx
