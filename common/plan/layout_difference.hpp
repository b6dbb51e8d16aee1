// Which memory stays, and which is lost, when an address space changes its mappings: one answer for both hosts.
#pragma once

#include <cstdint>
#include <vector>

#include "common/base/page.hpp"

namespace crx {

// Which bytes a mapping shows. At an address that two mappings have in common they show the same bytes when these are
// equal; then the destination keeps its mapping with all its pages. Each host fills it in from what it knows (the
// source from /proc, the destination from the image's entries); numbers of one host are only compared with its own.
struct MappingIdentity {
  uint64_t kind = 0;    // private or shared, anonymous memory, file, object, ...
  uint64_t device = 0;  // of the object, where its number alone does not name it
  uint64_t object = 0;  // the file or shared-memory object; 0 for private anonymous memory
  uint64_t origin = 0;  // the mapping's offset into the object minus its start, modulo 2^64; 0 without an object
  uint64_t birth = 0;   // what is chosen when a mapping is made and stays: MAP_NORESERVE, size of huge pages, ...

  bool operator==(const MappingIdentity&) const = default;
};

struct MappedPiece {
  PageRange range;
  MappingIdentity identity;
};

// All lists ascend, and their pieces do not overlap.

// The addresses at which both layouts show the same bytes: memory there stays.
std::vector<PageRange> kept_ranges(const std::vector<MappedPiece>& before, const std::vector<MappedPiece>& now);

// The rest of what `now` maps. A vessel that follows the layout maps it anew and loses what it held there; the source
// owes it.
std::vector<PageRange> renewed_ranges(const std::vector<MappedPiece>& before, const std::vector<MappedPiece>& now);

}  // namespace crx
