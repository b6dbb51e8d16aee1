// Finds memory that processes have shared since a fork, by page frame and not by content.
#pragma once

#include <cstdint>
#include <vector>

#include "common/base/page.hpp"
#include "common/kernel/memory/pagemap.hpp"

namespace crx {

// Returns the pages of `ranges` (addresses, ascending) that lie in the same frame, or in the same slot of swap space,
// in both address spaces. No process needs to be stopped: a page that is returned was shared at some moment of the
// call, or `a` has written it since the call began. Returns nothing without CAP_SYS_ADMIN (the kernel hides frame
// numbers then) and when one of the processes has ended.
std::vector<PageRange> same_frames(const Pagemap& a, const Pagemap& b, const std::vector<PageRange>& ranges);

// Estimates how many pages same_frames() would return: counts them if there are few, otherwise probes some places.
uint64_t estimate_same_frames(const Pagemap& a, const Pagemap& b, const std::vector<PageRange>& ranges);

// Returns the pages of `ranges` that have not been written since a tracker protected them (asynchronous write
// protection).
std::vector<PageRange> still_armed(const Pagemap& pagemap, const std::vector<PageRange>& ranges);

}  // namespace crx
