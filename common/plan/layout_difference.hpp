// Computes which memory stays and which is lost when an address space changes its mappings. Both hosts use the same
// code, so that they agree.
#pragma once

#include <cstdint>
#include <vector>

#include "common/base/page.hpp"

namespace crx {

// Identifies the bytes that a mapping shows. Two mappings with equal identities show the same bytes at an address that
// both contain; the destination then keeps its mapping with all its pages. The source fills in an identity from /proc,
// the destination from the entries of the image; each host compares only its own identities with one another.
struct MappingIdentity {
  uint64_t kind = 0;    // private or shared, anonymous memory, file, object, ...
  uint64_t device = 0;  // of the object, where its number alone does not name it
  uint64_t object = 0;  // the file or shared-memory object; 0 for private anonymous memory
  uint64_t origin = 0;  // the mapping's offset into the object minus its start, modulo 2^64; 0 without an object
  uint64_t birth = 0;   // properties that are fixed when a mapping is made: MAP_NORESERVE, size of huge pages, ...

  bool operator==(const MappingIdentity&) const = default;
};

struct MappedPiece {
  PageRange range;
  MappingIdentity identity;
};

// All lists, parameters and results, ascend, and their pieces do not overlap.

// Returns the addresses at which both layouts show the same bytes. Memory there stays.
std::vector<PageRange> kept_ranges(const std::vector<MappedPiece>& before, const std::vector<MappedPiece>& now);

// Returns all other addresses that `now` maps. A vessel that follows the layout maps them anew and loses its pages
// there; the source has to send them again.
std::vector<PageRange> renewed_ranges(const std::vector<MappedPiece>& before, const std::vector<MappedPiece>& now);

}  // namespace crx
