// Frees the pages of earlier sets that a later set has replaced.
#pragma once

#include <cstdint>
#include <string>

namespace crx {

// Punches, in the parents of the set at `path`, the pages that the set has anew, and notes in their manifests what was
// given up: such a parent is refused where it would be restored by itself. Interrupted at any point it leaves sets that
// are whole, and may be repeated. Returns the bytes freed. Throws Error.
uint64_t deduplicate(const std::string& path);

}  // namespace crx
