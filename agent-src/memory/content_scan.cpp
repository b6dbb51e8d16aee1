#include "agent-src/memory/content_scan.hpp"

#include "common/base/error.hpp"

namespace crx {

Pagemap::Query content_query(VmaKind kind, bool written_only) {
  Pagemap::Query query;
  query.inverted = page_is::kPfnZero | page_is::kGuard;
  if (kind == VmaKind::private_file) query.inverted |= page_is::kFile;
  query.required = query.inverted | (written_only ? page_is::kWritten : 0);
  query.anyof = page_is::kPresent | page_is::kSwapped;
  return query;
}

void throw_mm_gone(pid_t pid, const char* step) {
  const bool exited = mm_fate(pid) == MmFate::exited;
  throw Error(ErrorCode::victim_gone, step,
              exited ? "the process has ended" : "the process has executed another program")
      .with_pid(pid);
}

void require_alive(ScanStatus status, pid_t pid) {
  if (status == ScanStatus::gone) throw_mm_gone(pid);
}

void append_ranges(const std::vector<PageRegion>& regions, std::vector<PageRange>& out) {
  for (const PageRegion& region : regions) append_range(out, region.range);
}

void list_content(const Pagemap& pagemap, const MemoryVma& vma, std::vector<PageRange>& content) {
  if (vma.kind == VmaKind::aio_ring) return;
  std::vector<PageRegion> regions;
  require_alive(pagemap.scan(vma.range, content_query(vma.kind, false), regions), pagemap.pid());
  append_ranges(regions, content);
}

void frozen_pages(const Pagemap& pagemap, const MemoryVma& vma, FrozenPages& pages) {
  if (vma.kind == VmaKind::aio_ring) {
    append_range(pages.present, vma.range);
    append_range(pages.dirty, vma.range);
    return;
  }
  const bool file = vma.kind == VmaKind::private_file;
  // The query leaves out pages that are present, protected, not the zero page, and in a registered VMA. In a file
  // mapping it asks for file pages, too: a page whose private copy was dropped keeps its mark and must not pass as that
  // copy.
  Pagemap::Query query;
  query.inverted = page_is::kPresent | page_is::kWpAllowed;
  query.anyof = page_is::kWritten | page_is::kPresent | page_is::kWpAllowed | page_is::kPfnZero;
  query.returned = page_is::kWritten | page_is::kPresent | page_is::kSwapped | page_is::kWpAllowed | page_is::kPfnZero |
                   page_is::kGuard;
  if (file) {
    query.anyof |= page_is::kFile;
    query.returned |= page_is::kFile;
  }
  std::vector<PageRegion> regions;
  require_alive(pagemap.scan(vma.range, query, regions), pagemap.pid());
  uint64_t at = vma.range.start;
  for (const PageRegion& region : regions) {
    append_range(pages.present, {at, region.range.start});
    at = region.range.end;
    const uint64_t is = region.categories;
    if ((is & page_is::kGuard) != 0) {
      append_range(pages.guards, region.range);
      continue;
    }
    if ((is & (page_is::kPresent | page_is::kSwapped)) == 0 || (is & (page_is::kPfnZero | page_is::kFile)) != 0) {
      continue;
    }
    append_range(pages.present, region.range);
    // In a file mapping a swap entry may be only the mark of a dropped copy, so the page is read and its content
    // decides.
    const bool unsure = file && (is & page_is::kPresent) == 0;
    if ((is & page_is::kWritten) != 0 || (is & page_is::kWpAllowed) == 0 || unsure) {
      append_range(pages.dirty, region.range);
    }
  }
  append_range(pages.present, {at, vma.range.end});
}

}  // namespace crx
