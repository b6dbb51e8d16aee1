// Page-table queries that several trackers share. A page of a private mapping has content when it is present or swapped
// out, is not the zero page and not a guard page, and (in a file mapping) is not the file's own page.
#pragma once

#include <vector>

#include "agent-src/memory/tracker.hpp"

namespace crx {

// The query that matches pages with content. written_only: only those that carry no write-protect mark.
Pagemap::Query content_query(VmaKind kind, bool written_only);

// Appends all pages of the mapping that have content, ascending. Throws Error(victim_gone).
void list_content(const Pagemap& pagemap, const MemoryVma& vma, std::vector<PageRange>& content);

// Sorts the pages of a private mapping of a stopped process into present, dirty and guard pages. The query asks only
// for exceptions from "present and protected", so that 1 GiB without writes costs 0.6 ms. A page counts as dirty when
// it carries no write-protect mark or its VMA is not registered. Throws Error(victim_gone).
void frozen_pages(const Pagemap& pagemap, const MemoryVma& vma, FrozenPages& pages);

// Throws Error(victim_gone): the address space of `pid` has ended. `step` is what was being done.
[[noreturn]] void throw_mm_gone(pid_t pid, const char* step = "tracking memory");
// Throws Error(victim_gone) if `status` says that the address space has ended.
void require_alive(ScanStatus status, pid_t pid);
// Appends the ranges of `regions`, without their flags.
void append_ranges(const std::vector<PageRegion>& regions, std::vector<PageRange>& out);

}  // namespace crx
