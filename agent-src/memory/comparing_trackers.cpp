#include "agent-src/memory/comparing_trackers.hpp"

#include <fmt/format.h>

#include "agent-src/memory/content_scan.hpp"

namespace crx {
namespace {

// Lists all content of a private mapping as dirty, and its guards.
void frozen_content(const Pagemap& pagemap, const MemoryVma& vma, FrozenPages& pages) {
  FrozenPages all;
  frozen_pages(pagemap, vma, all);
  for (const PageRange& range : all.present) append_range(pages.present, range);
  for (const PageRange& range : all.guards) append_range(pages.guards, range);
}

}  // namespace

void HashTracker::scan_private(const MemoryVma& vma, std::vector<PageRange>& dirty) {
  list_content(pagemap_, vma, dirty);
}

void HashTracker::frozen_private(const MemoryVma& vma, FrozenPages& pages) const {
  FrozenPages own;
  frozen_content(pagemap_, vma, own);
  for (const PageRange& range : own.present) append_range(pages.dirty, range);
  for (const PageRange& range : own.present) append_range(pages.present, range);
  for (const PageRange& range : own.guards) append_range(pages.guards, range);
}

void SoftDirtyTracker::scan_private(const MemoryVma& vma, std::vector<PageRange>& dirty) {
  if (vma.kind == VmaKind::aio_ring) return;
  Pagemap::Query query = content_query(vma.kind, false);
  if (cleared_once_) query.required |= page_is::kSoftDirty;
  std::vector<PageRegion> regions;
  require_alive(pagemap_.scan(vma.range, query, regions), pagemap_.pid());
  append_ranges(regions, dirty);
}

void SoftDirtyTracker::end_pass() {
  write_file(fmt::format("/proc/{}/clear_refs", pagemap_.pid()), "4");
  cleared_once_ = true;
}

void SoftDirtyTracker::frozen_private(const MemoryVma& vma, FrozenPages& pages) const {
  frozen_content(pagemap_, vma, pages);
  if (vma.kind == VmaKind::aio_ring) return append_range(pages.dirty, vma.range);
  Pagemap::Query query = content_query(vma.kind, false);
  if (cleared_once_) query.required |= page_is::kSoftDirty;
  std::vector<PageRegion> regions;
  require_alive(pagemap_.scan(vma.range, query, regions), pagemap_.pid());
  append_ranges(regions, pages.dirty);
}

}  // namespace crx
