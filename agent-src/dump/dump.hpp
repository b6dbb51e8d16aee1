// Dumps a running process tree into a set of images.
#pragma once

#include "agent-src/dump/dump_options.hpp"

namespace crx {

// The result of a dump, for the user.
struct DumpReport {
  // Microseconds from the first stop until the tree is resumed or sent SIGKILL; with --pre the longest stop of a task.
  int64_t frozen_us = 0;
  int64_t total_us = 0;
  uint64_t pages = 0;         // pages written
  uint64_t parent_pages = 0;  // pages left to the parent set
  uint64_t freed_bytes = 0;   // bytes freed by --auto-dedup
};

// Dumps the tree of options.pid. On return the set is complete and on the disk, and the tree has ended, or runs on with
// leave_running, pre or check_only. Throws Error if the dump fails, and the tree runs on then; the error is `refused`
// if the tree holds something that cannot be dumped, which is listed on stderr before. The caller must not have other
// threads.
DumpReport run_dump(const DumpOptions& options);

}  // namespace crx
