#include "common/kernel/memory/pagemap.hpp"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "common/base/error.hpp"
#include "common/base/mapping.hpp"
#include "common/kernel/memory/uapi_memory.hpp"

namespace crx {
namespace {

constexpr std::size_t kVecEntries = 4096;

// Appends a region, without the part that an earlier call has reported already.
void append_region(std::vector<PageRegion>& regions, PageRegion next) {
  if (!regions.empty()) {
    PageRegion& last = regions.back();
    next.range.start = std::max(next.range.start, last.range.end);
    if (next.range.empty()) return;
    if (next.range.start == last.range.end && next.categories == last.categories) {
      last.range.end = next.range.end;
      return;
    }
  }
  if (!next.range.empty()) regions.push_back(next);
}

int scan_once(int fd, uapi::ScanArg& arg) {
  return ::ioctl(fd, uapi::kPagemapScan, &arg);
}

// The page frame number of the kernel's zero page, which a read fault on fresh anonymous memory maps. 0 when it is not
// readable, or when the kernel has none: two pages then lie in frames of their own.
uint64_t find_zero_frame(int own_pagemap) {
  const Mapping pages = Mapping::map(2 * kPageSize, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS);
  std::array<uint64_t, 2> entries{};
  for (std::size_t i = 0; i < entries.size(); ++i) {
    static_cast<void>(*reinterpret_cast<volatile const char*>(pages.data() + i * kPageSize));
  }
  const auto at = static_cast<off_t>(reinterpret_cast<uintptr_t>(pages.data()) / kPageSize * sizeof(uint64_t));
  if (::pread(own_pagemap, entries.data(), sizeof entries, at) != sizeof entries) return 0;
  const uint64_t first = entries[0] & uapi::kEntryPfnMask;
  return first == (entries[1] & uapi::kEntryPfnMask) ? first : 0;
}

uint64_t zero_frame() {
  static const uint64_t frame = [] {
    const Fd own = open_checked("/proc/self/pagemap", O_RDONLY);
    return find_zero_frame(own.get());
  }();
  return frame;
}

PagemapFeatures probe() {
  PagemapFeatures found;
  const Fd own = open_checked("/proc/self/pagemap", O_RDONLY);
  const Mapping page = Mapping::map(kPageSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
  *page.data() = std::byte{1};
  const auto start = reinterpret_cast<uintptr_t>(page.data());
  uapi::PageRegion region{};
  uapi::ScanArg arg{};
  arg.size = sizeof arg;
  arg.start = start;
  arg.end = start + kPageSize;
  arg.vec = reinterpret_cast<uintptr_t>(&region);
  arg.vec_len = 1;
  arg.return_mask = page_is::kPresent;
  found.scan = scan_once(own.get(), arg) >= 0;
  arg.return_mask = page_is::kGuard;
  found.guard = scan_once(own.get(), arg) >= 0;
  // A page that has just been written is soft-dirty if the kernel maintains that bit.
  uint64_t entry = 0;
  const auto at = static_cast<off_t>(start / kPageSize * sizeof entry);
  found.soft_dirty =
      ::pread(own.get(), &entry, sizeof entry, at) == sizeof entry && (entry & uapi::kEntrySoftDirty) != 0;
  return found;
}

uint64_t categories_of(uint64_t entry, uint64_t zero_pfn) {
  uint64_t found = 0;
  if ((entry & uapi::kEntryPresent) != 0) {
    found |= page_is::kPresent;
    if (zero_pfn != 0 && (entry & uapi::kEntryPfnMask) == zero_pfn) found |= page_is::kPfnZero;
  }
  if ((entry & uapi::kEntrySwapped) != 0) found |= page_is::kSwapped;
  if ((entry & uapi::kEntryFile) != 0) found |= page_is::kFile;
  if ((entry & uapi::kEntrySoftDirty) != 0) found |= page_is::kSoftDirty;
  if ((entry & uapi::kEntryGuard) != 0) found |= page_is::kGuard | page_is::kSwapped;
  if ((entry & uapi::kEntryUffdWp) == 0) found |= page_is::kWritten;
  return found;
}

bool matches(const Pagemap::Query& query, uint64_t categories) {
  const uint64_t seen = categories ^ query.inverted;
  return (seen & query.required) == query.required && (query.anyof == 0 || (seen & query.anyof) != 0);
}

}  // namespace

const PagemapFeatures& Pagemap::features() {
  static const PagemapFeatures found = probe();
  return found;
}

Pagemap Pagemap::open(pid_t pid) {
  const std::string path = fmt::format("/proc/{}/pagemap", pid);
  Fd fd = try_open(path, O_RDONLY);
  if (!fd) throw_errno("reading the page tables", path, errno == ENOENT ? ESRCH : errno);
  return Pagemap(std::move(fd), pid);
}

ScanStatus Pagemap::scan(PageRange range, Query query, std::vector<PageRegion>& regions) const {
  if (range.empty()) return ScanStatus::ok;
  if (!features().scan) return scan_entries(range, query, regions);
  if (!features().guard) {
    query.required &= ~page_is::kGuard;
    query.anyof &= ~page_is::kGuard;
    query.inverted &= ~page_is::kGuard;
    query.returned &= ~page_is::kGuard;
  }
  std::array<uapi::PageRegion, kVecEntries> vec;
  uapi::ScanArg arg{};
  arg.size = sizeof arg;
  // Without CHECK_WPASYNC the kernel silently skips VMAs that are not registered.
  arg.flags = query.rearm ? uapi::kScanWpMatching | uapi::kScanCheckWpAsync : 0;
  arg.end = range.end;
  arg.vec = reinterpret_cast<uintptr_t>(vec.data());
  arg.vec_len = vec.size();
  arg.category_inverted = query.inverted;
  arg.category_mask = query.required;
  arg.category_anyof_mask = query.anyof;
  arg.return_mask = query.returned;
  for (arg.start = range.start; arg.start < range.end; arg.start = arg.walk_end) {
    arg.walk_end = 0;
    const int found = scan_once(fd_.get(), arg);
    if (found < 0) {
      if (errno == ESRCH) return ScanStatus::gone;
      if (errno == EPERM && query.rearm) return ScanStatus::not_tracked;
      if (errno == EINTR) continue;
      throw_errno("scanning the page tables", fmt::format("process {} at {:x}-{:x}", pid_, range.start, range.end));
    }
    for (int i = 0; i < found; ++i) {
      const uapi::PageRegion& region = vec[static_cast<std::size_t>(i)];
      append_region(regions, {{region.start, region.end}, region.categories});
    }
    // The kernel (6.18) leaves walk_end where its internal buffer was last full, which may be far before the end of the
    // reported regions. Only a full vector means that something may be missing.
    if (static_cast<std::size_t>(found) < vec.size() || arg.walk_end <= arg.start) break;
  }
  return ScanStatus::ok;
}

ScanStatus Pagemap::scan_entries(PageRange range, const Query& query, std::vector<PageRegion>& regions) const {
  if (query.rearm) {
    throw Error(ErrorCode::unsupported, "tracking writes", "this kernel has no PAGEMAP_SCAN (Linux 6.7)");
  }
  const uint64_t zero_pfn = zero_frame();
  constexpr uint64_t kChunk = uint64_t{64} << 20;
  for (uint64_t start = range.start; start < range.end; start += kChunk) {
    const PageRange part{start, std::min(range.end, start + kChunk)};
    const std::vector<uint64_t> found = entries(part);
    if (found.empty()) return ScanStatus::gone;
    for (std::size_t i = 0; i < found.size(); ++i) {
      const uint64_t categories = categories_of(found[i], zero_pfn);
      if (!matches(query, categories)) continue;
      const uint64_t addr = part.start + i * kPageSize;
      append_region(regions, {{addr, addr + kPageSize}, categories & query.returned});
    }
  }
  return ScanStatus::ok;
}

std::vector<uint64_t> Pagemap::entries(PageRange range) const {
  std::vector<uint64_t> found(range.pages());
  std::size_t done = 0;
  while (done < found.size()) {
    const auto at = static_cast<off_t>((range.start / kPageSize + done) * sizeof(uint64_t));
    const ssize_t got = ::pread(fd_.get(), found.data() + done, (found.size() - done) * sizeof(uint64_t), at);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno != ESRCH) throw_errno("reading the page tables", fmt::format("process {}", pid_));
    if (got <= 0) break;
    done += static_cast<std::size_t>(got) / sizeof(uint64_t);
  }
  found.resize(done);
  return found;
}

MmFate mm_fate(pid_t pid) {
  const std::string stat = try_read_file(fmt::format("/proc/{}/stat", pid)).value_or("");
  // The format is "PID (comm) S ...". comm may contain anything, so the state follows the last closing parenthesis.
  const std::size_t close = stat.rfind(") ");
  if (close == std::string::npos || close + 2 >= stat.size()) return MmFate::exited;
  const char state = stat[close + 2];
  return state == 'Z' || state == 'X' ? MmFate::exited : MmFate::replaced;
}

}  // namespace crx
