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
  uint64_t offset = 0;   // of `start` in the file or object, in bytes; 0 for private anonymous memory
  uint64_t backing = 0;  // file id or shmid; 0 for private anonymous memory
  uint32_t prot = 0;
  uint32_t flags = 0;           // MAP_*
  uint32_t status = 0;          // vma_status bits
  uint64_t madvise = 0;         // bit n: madvise(n) is in force
  bool commit_charged = false;  // private and not writable, but was writable: it is charged to the commit limit

  // The source of its pages, which decides how they are written (mapping_writer.hpp).
  enum class Kind {
    anonymous,  // private memory without a file
    file,       // private copies of a file's or memfd's pages
    shared,     // the pages of a file or shared-memory object themselves
    huge,       // huge pages (hugetlb), with any backing
    special,    // the vDSO and its data, which the kernel fills
  };
  Kind kind() const noexcept;
  bool is_special() const noexcept { return kind() == Kind::special; }
  bool is_huge() const noexcept;       // has huge pages (hugetlb)
  bool is_droppable() const noexcept;  // MAP_DROPPABLE: a fork does not inherit it, whatever madvise(2) has set
  // Identifies the bytes that the mapping shows, for kept_ranges().
  MappingIdentity identity() const noexcept;
  bool operator==(const Vma&) const = default;
};

// Returns those flags of mmap(2) in `flags` that are fixed when a mapping is made and never change.
uint32_t birth_flags(uint32_t flags);

// Parses an mm_entry's VMAs and checks that they ascend, are disjoint and page-aligned, lie below the end of user
// space, and are of known kinds. commit_charged: start addresses of the VMAs for which Vma::commit_charged holds.
// Leaves out special mappings outside of user space (vsyscall). Throws Error(corrupt_image) that names the VMA.
std::vector<Vma> vmas_of(const img::mm_entry& mm, const std::vector<uint64_t>& commit_charged);

struct LayoutChange {
  enum class Kind { unmap, map, protect, advise };
  Kind kind;
  Vma vma;  // the piece of address space and its attributes; `unmap` uses only start and end
};

// Returns the changes in the order in which they must be made. The vDSO and its data pages are one exception: they
// appear as one `map` of the first of them, and never move.
std::vector<LayoutChange> changes(const std::vector<Vma>& current, const std::vector<Vma>& wanted);

// Returns the start of a gap of `bytes` that no VMA of the list touches, for the arena. Throws Error(unsupported) when
// there is none.
uint64_t find_gap(const std::vector<Vma>& vmas, uint64_t bytes);

}  // namespace crx
