#include "agent-src/collect/memory/huge_pages.hpp"

#include <sys/stat.h>

#include <algorithm>

#include "agent-src/collect/memory/memfd.hpp"
#include "agent-src/memory/content_scan.hpp"
#include "agent-src/memory/vma.hpp"
#include "common/base/error.hpp"
#include "common/kernel/memory/pagemap.hpp"

namespace crx {
namespace {

uint64_t present_bytes(pid_t pid, PageRange range) {
  Pagemap::Query query;
  query.required = page_is::kPresent;
  std::vector<PageRegion> regions;
  require_alive(Pagemap::open(pid).scan(range, query, regions), pid);
  uint64_t bytes = 0;
  for (const PageRegion& region : regions) bytes += region.range.bytes();
  return bytes;
}

}  // namespace

void HugePageCount::add(pid_t pid, MemoryMap& map) {
  std::map<uint64_t, Need> own;
  for (const HugeMapping& huge : map.huge_mappings()) {
    Need& need = own[huge.object];
    need.page_bytes = huge.page_bytes;
    const uint64_t bytes = huge.reserved ? huge.range.bytes() : present_bytes(pid, huge.range);
    if (huge.shared) {
      need.pages = std::max(need.pages, (huge.reserved ? huge.offset + bytes : bytes) / huge.page_bytes);
    } else {
      need.pages += bytes / huge.page_bytes;
    }
  }
  for (const OpenMemfd& memfd : open_memfds(pid)) {
    if (memfd.inode.hugetlb_flag() == 0) continue;
    struct stat st {};
    if (::fstat(memfd.fd.get(), &st) != 0) throw_errno("looking at a memfd", memfd.inode.name());
    Need& need = own[memfd.inode.inode_id()];
    need.page_bytes = static_cast<uint64_t>(st.st_blksize);
    need.pages = std::max(need.pages, static_cast<uint64_t>(st.st_blocks) * 512 / need.page_bytes);
  }
  for (const auto& [object, need] : own) {
    Need& sum = objects_[object];
    sum.page_bytes = need.page_bytes;
    sum.pages = std::max(sum.pages, need.pages);
  }
}

std::map<uint64_t, uint64_t> HugePageCount::pages() const {
  std::map<uint64_t, uint64_t> sums;
  for (const auto& [object, need] : objects_) sums[need.page_bytes] += need.pages;
  return sums;
}

}  // namespace crx
