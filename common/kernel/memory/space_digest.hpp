// What an address space or a shared object holds, as digests: the same on both sides of a migration exactly when
// every page is. Enumerates the pages by itself, so it also proves what write tracking and page transfer did.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "common/base/digest.hpp"
#include "common/base/page.hpp"

namespace crx {

// A mapping whose content counts. Shared mappings are left out: objects have digests of their own.
struct DigestRange {
  PageRange range;
  bool file = false;    // private mapping of a file: a page counts where it differs from the file's
  uint64_t offset = 0;  // file: bytes into it
};

struct SpaceDigest {
  uint64_t present_pages = 0;           // that count
  Digest128 digest;                     // over (address, content) of each of them, ascending
  std::vector<PageRange> chunk_ranges;  // 1 MiB each, aligned; only those with pages that count, ascending
  std::vector<uint64_t> chunk_digests;  // one per range
  bool operator==(const SpaceDigest&) const = default;
};

// The private memory of a stopped process. Counted: pages of anonymous mappings that are not all zero (an absent
// page reads as zeros, so the two are the same), pages of private file mappings that differ from the file.
// `ranges` ascending, with the bounds of whole mappings (lines of /proc/PID/maps) where `file` is set.
// Throws Error: victim_gone, or refused when a page cannot be read.
SpaceDigest digest_space(pid_t pid, const std::vector<DigestRange>& ranges);

// A shared-memory object by an open descriptor: its pages that are not all zero, by offset.
SpaceDigest digest_object(int fd);

// The first chunks in which the two differ, for a message; empty when they are equal.
std::vector<PageRange> differing_chunks(const SpaceDigest& a, const SpaceDigest& b);

}  // namespace crx
