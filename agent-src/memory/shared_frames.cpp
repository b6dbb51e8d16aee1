#include "agent-src/memory/shared_frames.hpp"

#include <algorithm>

#include "common/kernel/memory/uapi_memory.hpp"

namespace crx {
namespace {

constexpr uint64_t kChunkBytes = uint64_t{8} << 20;
constexpr uint64_t kProbes = 128;
constexpr uint64_t kProbeBytes = 16 * kPageSize;

// Returns the frame or swap slot of a pagemap entry, with a bit that tells them apart; 0: no page, or hidden by the
// kernel.
uint64_t place_of(uint64_t entry) {
  const uint64_t where = entry & uapi::kEntryPfnMask;
  return where == 0 ? 0 : where | (entry & (uapi::kEntryPresent | uapi::kEntrySwapped));
}

}  // namespace

// Pagemap `a` is read before and after `b`. Otherwise a frame that `a` has released and `b` has received in between
// would look shared. (A process can lose a frame without writing when the kernel migrates pages.)
std::vector<PageRange> same_frames(const Pagemap& a, const Pagemap& b, const std::vector<PageRange>& ranges) {
  std::vector<PageRange> same;
  for (const PageRange& range : ranges) {
    for (uint64_t start = range.start; start < range.end; start += kChunkBytes) {
      const PageRange part{start, std::min(range.end, start + kChunkBytes)};
      const std::vector<uint64_t> before = a.entries(part);
      const std::vector<uint64_t> theirs = b.entries(part);
      const std::vector<uint64_t> after = a.entries(part);
      const std::size_t count = std::min({before.size(), theirs.size(), after.size()});
      for (std::size_t i = 0; i < count; ++i) {
        const uint64_t place = place_of(before[i]);
        if (place == 0 || place != place_of(theirs[i]) || place != place_of(after[i])) continue;
        const uint64_t addr = part.start + i * kPageSize;
        append_range(same, {addr, addr + kPageSize});
      }
    }
  }
  return same;
}

uint64_t estimate_same_frames(const Pagemap& a, const Pagemap& b, const std::vector<PageRange>& ranges) {
  const uint64_t total = total_pages(ranges);
  if (total * kPageSize <= kProbes * kProbeBytes) return total_pages(same_frames(a, b, ranges));
  const uint64_t step = std::max(total / kProbes * kPageSize, kProbeBytes);
  std::vector<PageRange> probes;
  uint64_t looked_at = 0, ahead = 0;  // ahead: bytes until the next probe
  for (const PageRange& range : ranges) {
    uint64_t at = range.start + ahead;
    for (; at < range.end; at += step) {
      const PageRange probe{at, std::min(range.end, at + kProbeBytes)};
      looked_at += probe.pages();
      probes.push_back(probe);
    }
    ahead = at - range.end;
  }
  if (looked_at == 0) return 0;
  return total_pages(same_frames(a, b, probes)) * total / looked_at;
}

std::vector<PageRange> still_armed(const Pagemap& pagemap, const std::vector<PageRange>& ranges) {
  Pagemap::Query query;
  query.inverted = page_is::kWritten;
  query.required = page_is::kWritten | page_is::kWpAllowed;
  std::vector<PageRegion> regions;
  std::vector<PageRange> armed;
  for (const PageRange& range : ranges) {
    if (pagemap.scan(range, query, regions) != ScanStatus::ok) return {};
  }
  for (const PageRegion& region : regions) append_range(armed, region.range);
  return intersect(armed, ranges);
}

}  // namespace crx
