// The changes (unmap, map, protect, advise) that make one list of VMAs from another.
#pragma once

#include <cstdint>
#include <vector>

#include "common/base/page.hpp"
#include "common/image/schema/mm.pb.h"
#include "common/plan/layout_difference.hpp"

namespace crx {

// One VMA as the vessel has it, in the image's terms (vma_entry).
struct Vma {
  uint64_t start = 0, end = 0;
  uint64_t offset = 0;   // of `start` in the file or object, bytes; 0 for private anonymous memory
  uint64_t backing = 0;  // file id or shmid; 0 for private anonymous memory
  uint32_t prot = 0;
  uint32_t flags = 0;           // MAP_*
  uint32_t status = 0;          // vma_status bits
  uint64_t madvise = 0;         // bit n: madvise(n) is in force
  bool commit_charged = false;  // private, not writable, but was: charged to the commit limit

  // The source of its pages, which decides how they are written (mapping_writer.hpp).
  enum class Kind {
    anonymous,  // private memory without a file
    file,       // private copies of a file's or memfd's pages
    shared,     // those of a file or object
    huge,       // in huge pages (hugetlb), whatever the backing
    special,    // the vDSO and its data, which the kernel fills
  };
  Kind kind() const noexcept;
  bool is_special() const noexcept { return kind() == Kind::special; }
  bool is_huge() const noexcept;       // in huge pages (hugetlb)
  bool is_droppable() const noexcept;  // MAP_DROPPABLE: is not inherited, whatever is advised
  // What it shows: see kept_ranges().
  MappingIdentity identity() const noexcept;
  bool operator==(const Vma&) const = default;
};

// The flags of mmap(2) in `flags` that a mapping is born with, and keeps.
uint32_t birth_flags(uint32_t flags);

// Parses and checks an mm_entry's VMAs: ascending, disjoint, page-aligned, below the end of user space, known kinds.
// commit_charged: starts of the VMAs for which Vma::commit_charged holds.
// Special mappings (vsyscall) are left out. Throws Error(corrupt_image) naming the VMA.
std::vector<Vma> vmas_of(const img::mm_entry& mm, const std::vector<uint64_t>& commit_charged);

struct LayoutChange {
  enum class Kind { unmap, map, protect, advise };
  Kind kind;
  Vma vma;  // the piece of address space; unmap uses only start and end
};

// The changes in the order in which they must be made. The vDSO and its data pages are special: they appear as one
// `map` of the first of them, and never move.
std::vector<LayoutChange> changes(const std::vector<Vma>& current, const std::vector<Vma>& wanted);

// A gap of `bytes` that no VMA of the list touches, for the arena. Throws Error(unsupported) when there is none.
uint64_t find_gap(const std::vector<Vma>& vmas, uint64_t bytes);

}  // namespace crx
