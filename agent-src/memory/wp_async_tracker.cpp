#include "agent-src/memory/wp_async_tracker.hpp"

#include <algorithm>

#include "agent-src/memory/content_scan.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"

namespace crx {
namespace {
constexpr uint64_t kUserStart = 0x10000;  // vm.mmap_min_addr

// Whether userfaultfd may accept the mapping. It rejects a shared mapping that can never become writable; a mapping
// that is not writable now may be one.
bool may_be_registered(const MemoryVma& vma) {
  switch (vma.kind) {
    case VmaKind::private_anon:
    case VmaKind::private_file:
      return true;
    case VmaKind::shmem:
    case VmaKind::shared_file:
      return vma.writable;
    default:
      return false;
  }
}

}  // namespace

WpAsyncTracker::WpAsyncTracker(pid_t pid, WriteProtectFd fd) : pagemap_(Pagemap::open(pid)), fd_(std::move(fd)) {}

void WpAsyncTracker::begin_pass(std::span<const MemoryVma> vmas) {
  find_spans(vmas);
  const PageRange* done = nullptr;
  for (const MemoryVma& vma : vmas) {
    // A private mapping is registered when a scan finds it untracked; registering it here would hide that it is new. In
    // a shared mapping every page without a mark counts as written, so new ones need no distinction.
    if (is_private(vma.kind) || vma.kind == VmaKind::special) continue;
    const PageRange* span = span_of(vma.range);
    if (span != nullptr && span == done) continue;
    if (register_around(vma.range) == RegisterStatus::gone) throw_mm_gone(pagemap_.pid());
    done = span;
  }
}

void WpAsyncTracker::find_spans(std::span<const MemoryVma> vmas) {
  spans_.clear();
  uint64_t start = kUserStart;
  for (const MemoryVma& vma : vmas) {
    if (vma.range.start >= kEndOfUserSpace) break;  // [vsyscall]: the kernel rejects a range that reaches it as a whole
    // Huge pages must be registered in whole huge pages, and never merge with neighbours.
    if (may_be_registered(vma) && !vma.huge) continue;
    if (vma.range.start > start) spans_.push_back({start, vma.range.start});
    if (vma.huge) spans_.push_back(vma.range);
    start = vma.range.end;
  }
  if (start < kEndOfUserSpace) spans_.push_back({start, kEndOfUserSpace});
}

const PageRange* WpAsyncTracker::span_of(PageRange range) const {
  const auto span =
      std::partition_point(spans_.begin(), spans_.end(), [&](const PageRange& s) { return s.end <= range.start; });
  return span != spans_.end() && span->start <= range.start && range.end <= span->end ? &*span : nullptr;
}

// The victim runs, so the mapping may have other bounds by now. Registering a part of a mapping would split it, and a
// later mremap of the whole would fail in the victim. Therefore everything between two mappings that cannot be
// registered is registered at once. New mappings there carry no marks and count as written when they are scanned.
RegisterStatus WpAsyncTracker::register_around(PageRange range) const {
  if (const PageRange* span = span_of(range)) {
    const RegisterStatus status = fd_.register_range(*span);
    if (status == RegisterStatus::ok || status == RegisterStatus::gone) return status;
  }
  log::debug("task {}: registered {:x}-{:x} for write tracking without its neighbours", pagemap_.pid(), range.start,
             range.end);
  return fd_.register_range(range);
}

void WpAsyncTracker::scan_private(const MemoryVma& vma, std::vector<PageRange>& dirty) {
  if (vma.kind == VmaKind::aio_ring) return;
  std::vector<PageRegion> regions;
  Pagemap::Query query = content_query(vma.kind, true);
  query.rearm = true;
  ScanStatus status = pagemap_.scan(vma.range, query, regions);
  if (status == ScanStatus::not_tracked) {
    // The mapping is new, moved or replaced, at least in part, and the scan has consumed the marks before that part. So
    // register it, protect all content, and count all of it as written.
    regions.clear();
    const RegisterStatus registered = register_around(vma.range);
    if (registered == RegisterStatus::gone) throw_mm_gone(pagemap_.pid());
    if (registered == RegisterStatus::ok) {
      query = content_query(vma.kind, false);
      query.rearm = true;
      status = pagemap_.scan(vma.range, query, regions);
    }
    if (status == ScanStatus::not_tracked) {
      // It changes while it is scanned, or cannot be registered: all of it counts as written, every time.
      regions.clear();
      status = pagemap_.scan(vma.range, content_query(vma.kind, false), regions);
    }
  }
  require_alive(status, pagemap_.pid());
  append_ranges(regions, dirty);
}

bool WpAsyncTracker::scan_shared(const MemoryVma& vma, PageRange part, std::vector<PageRange>& dirty) {
  // A shared page may leave this page table and still exist in the object, so absent pages get marks, too
  // (WP_UNPOPULATED), and only a page that carries the mark is known to be unwritten.
  Pagemap::Query written;
  written.inverted = page_is::kGuard;
  written.required = page_is::kWritten | page_is::kGuard;
  written.rearm = true;
  Pagemap::Query absent;
  absent.inverted = page_is::kPresent | page_is::kSwapped;
  absent.required = absent.inverted;
  absent.rearm = true;
  std::vector<PageRegion> first;
  std::vector<PageRegion> second;
  ScanStatus status = pagemap_.scan(part, written, first);
  if (status == ScanStatus::ok) status = pagemap_.scan(part, absent, second);
  if (status == ScanStatus::not_tracked) {
    const RegisterStatus registered = register_around(vma.range);
    if (registered == RegisterStatus::gone) throw_mm_gone(pagemap_.pid());
    if (registered == RegisterStatus::not_writable) return true;  // no process can write through it
    if (registered != RegisterStatus::ok) return false;
    Pagemap::Query all;
    all.inverted = page_is::kGuard;
    all.required = page_is::kGuard;
    all.rearm = true;
    first.clear();
    require_alive(pagemap_.scan(part, all, first), pagemap_.pid());
    append_range(dirty, part);
    return true;
  }
  require_alive(status, pagemap_.pid());
  std::vector<PageRange> a;
  std::vector<PageRange> b;
  append_ranges(first, a);
  append_ranges(second, b);
  for (const PageRange& range : unite(a, b)) append_range(dirty, range);
  return true;
}

void WpAsyncTracker::frozen_private(const MemoryVma& vma, FrozenPages& pages) const {
  frozen_pages(pagemap_, vma, pages);
}

bool WpAsyncTracker::frozen_shared(const MemoryVma& vma, PageRange part, std::vector<PageRange>& dirty) const {
  static_cast<void>(vma);
  // Reports everything but "present and protected in a registered VMA". Absent pages among these that carry the
  // mark are clean.
  Pagemap::Query query;
  query.inverted = page_is::kPresent | page_is::kWpAllowed;
  query.anyof = page_is::kWritten | page_is::kPresent | page_is::kWpAllowed;
  query.returned = page_is::kWritten | page_is::kSwapped | page_is::kWpAllowed | page_is::kGuard;
  std::vector<PageRegion> regions;
  require_alive(pagemap_.scan(part, query, regions), pagemap_.pid());
  for (const PageRegion& region : regions) {
    constexpr uint64_t kClean = page_is::kSwapped | page_is::kWpAllowed;
    if (region.categories != kClean) append_range(dirty, region.range);
  }
  return true;
}

}  // namespace crx
