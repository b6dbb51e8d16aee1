// A dump: a running process tree becomes a set of images.
#pragma once

#include "agent-src/dump/dump_options.hpp"

namespace crx {

// What came of it, for the user.
struct DumpReport {
  int64_t frozen_us = 0;  // from the first stop until it ran on, or was told to end
  int64_t total_us = 0;
  uint64_t pages = 0;         // written
  uint64_t parent_pages = 0;  // left to the parent set
  uint64_t freed_bytes = 0;   // by --auto-dedup
};

// Throws Error: refused where the tree holds what cannot be dumped (listed on stderr before), anything else where it
// failed; the tree runs on then. Otherwise the set is complete and on the disk, and the tree has ended (or runs on,
// with leave_running).
DumpReport run_dump(const DumpOptions& options);

}  // namespace crx
