// The page table questions that trackers share. A page of a private mapping has content when it is present or
// swapped, not the zero page, not a guard, and (file mappings) not the file's own.
#pragma once

#include <vector>

#include "agent-src/memory/tracker.hpp"

namespace crx {

// Matches pages with content; written_only: that carry no write-protect mark.
Pagemap::Query content_query(VmaKind kind, bool written_only);

// Appends all pages with content. Throws Error(victim_gone).
void list_content(const Pagemap& pagemap, const MemoryVma& vma, std::vector<PageRange>& content);

// Splits a private mapping into frozen pages. Asks only for exceptions from "present and protected", which makes a
// quiet GiB cost 0.6 ms. Pages carrying no mark, or in a VMA that is not registered, are dirty.
void frozen_pages(const Pagemap& pagemap, const MemoryVma& vma, FrozenPages& pages);

// What to say when the address space is gone.
[[noreturn]] void throw_mm_gone(pid_t pid, const char* step = "tracking memory");
// Throws that where status says so.
void require_alive(ScanStatus status, pid_t pid);
// Appends the ranges of regions.
void append_ranges(const std::vector<PageRegion>& regions, std::vector<PageRange>& out);

}  // namespace crx
