// Frees the pages of earlier sets that a later set has replaced.
#pragma once

#include <cstdint>
#include <string>

namespace crx {

// Punches holes in the page files of the parents of the set at `path`, where the set has newer pages, and records the
// holes in the parents' manifests; a parent with holes cannot be restored by itself any more. If it is interrupted at
// any point, all sets are still complete, and it may be repeated. Returns the number of bytes freed. Throws Error;
// Error(refused) for signed parents, of which nothing is freed.
uint64_t deduplicate(const std::string& path);

}  // namespace crx
