// Memory that processes share since a fork: found by page frame, not by content.
#pragma once

#include <cstdint>
#include <vector>

#include "common/base/page.hpp"
#include "common/kernel/memory/pagemap.hpp"

namespace crx {

// Pages of `ranges` (addresses, ascending) that lie in the same frame, or in the same place of swap space, in both
// address spaces. Nothing is stopped for it; a page that is reported was shared at some moment of the call, or has been
// written in `a` since the call began. Empty without CAP_SYS_ADMIN, from which the kernel hides frames, and when one of
// them has ended.
std::vector<PageRange> same_frames(const Pagemap& a, const Pagemap& b, const std::vector<PageRange>& ranges);

// About how many pages that would report: counted where they are few, else looked at in some places only.
uint64_t estimate_same_frames(const Pagemap& a, const Pagemap& b, const std::vector<PageRange>& ranges);

// Pages of `ranges` that have not been written since a tracker armed them (asynchronous write protection).
std::vector<PageRange> still_armed(const Pagemap& pagemap, const std::vector<PageRange>& ranges);

}  // namespace crx
