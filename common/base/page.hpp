// Pages and ranges of pages of an address space.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace crx {

// The first address behind user space, with four levels of page tables (the kernel's
// Documentation/arch/x86/x86_64/mm.rst).
inline constexpr uint64_t kEndOfUserSpace = 0x7ffffffff000;
// The same with five levels: no address of any image is beyond it.
inline constexpr uint64_t kEndOfUserSpace5 = uint64_t{1} << 57;

inline constexpr uint64_t kPageSize = 4096;
inline constexpr uint64_t page_down(uint64_t addr) {
  return addr & ~(kPageSize - 1);
}
inline constexpr uint64_t page_up(uint64_t addr) {
  return (addr + kPageSize - 1) & ~(kPageSize - 1);
}

// [start, end) in bytes, page-aligned: addresses of an address space, or offsets in a shared memory object.
struct PageRange {
  uint64_t start = 0;
  uint64_t end = 0;
  uint64_t bytes() const { return end - start; }
  uint64_t pages() const { return (end - start) / kPageSize; }
  bool empty() const { return start >= end; }
  bool operator==(const PageRange&) const = default;
};

// Appends a range, merging it with the last one where they touch. Ranges must come in ascending order.
inline void append_range(std::vector<PageRange>& ranges, PageRange range) {
  if (!ranges.empty() && range.start <= ranges.back().end) {
    if (range.end > ranges.back().end) ranges.back().end = range.end;
  } else if (!range.empty()) {
    ranges.push_back(range);
  }
}

inline uint64_t total_pages(const std::vector<PageRange>& ranges) {
  uint64_t sum = 0;
  for (const PageRange& range : ranges) sum += range.pages();
  return sum;
}

// Set operations on ascending, disjoint lists; the results are ascending and disjoint, too.
std::vector<PageRange> unite(const std::vector<PageRange>& a, const std::vector<PageRange>& b);
std::vector<PageRange> subtract(const std::vector<PageRange>& a, const std::vector<PageRange>& b);
std::vector<PageRange> intersect(const std::vector<PageRange>& a, const std::vector<PageRange>& b);

// Identifies the memory that a batch of pages belongs to: an address space (id = the pid, at the source, of the task
// that owns it) or a shared memory object (id = shmid of the image format).
struct PageSpace {
  enum class Kind : uint8_t { mm = 1, shmem = 2 };
  Kind kind = Kind::mm;
  uint64_t id = 0;
  bool operator==(const PageSpace&) const = default;
  auto operator<=>(const PageSpace&) const = default;
};

}  // namespace crx
