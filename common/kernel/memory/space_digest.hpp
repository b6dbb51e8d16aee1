// Digests of the content of an address space or a shared object. Two sides of a migration have equal digests exactly
// when every page is equal. The pages are enumerated independently of write tracking and page transfer, so the
// comparison also checks those.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "common/base/digest.hpp"
#include "common/base/page.hpp"

namespace crx {

// A mapping whose content is included. Shared mappings are left out, since shared objects have digests of their own.
struct DigestRange {
  PageRange range;
  bool file = false;    // a private mapping of a file: only pages that differ from the file are counted
  uint64_t offset = 0;  // file: the file offset of the mapping in bytes
};

struct SpaceDigest {
  uint64_t present_pages = 0;           // number of counted pages
  Digest128 digest;                     // over (address, content) of each counted page, ascending
  std::vector<PageRange> chunk_ranges;  // 1 MiB each, aligned; only chunks with counted pages, ascending
  std::vector<uint64_t> chunk_digests;  // one per range
  bool operator==(const SpaceDigest&) const = default;
};

// The digest of the private memory of a stopped process. Counted are pages of anonymous mappings that are not all zero
// (an absent page reads as zeros, so the two are equal), and pages of private file mappings that differ from the file.
// `ranges` is ascending; where `file` is set a range has the bounds of a whole mapping (a line of /proc/PID/maps).
// Throws Error: victim_gone, or refused when a page cannot be read.
SpaceDigest digest_space(pid_t pid, const std::vector<DigestRange>& ranges);

// The digest of a shared memory object, given an open descriptor: its pages that are not all zero, by offset.
SpaceDigest digest_object(int fd);

// The first chunks in which the two digests differ, for an error message; empty when they are equal.
std::vector<PageRange> differing_chunks(const SpaceDigest& a, const SpaceDigest& b);

}  // namespace crx
