// Parses /proc/PID/smaps (proc_pid_smaps(5), fs/proc/task_mmu.c). Reading the file costs 8-17 ms per GiB of resident
// memory, so it is not used while a tree is frozen.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/proc/maps.hpp"

namespace crx::proc {

// One mapping. Sizes are in KiB, as printed.
struct SmapsEntry {
  MapsEntry map;
  uint64_t kernel_page_size_kib = 0;
  uint64_t rss_kib = 0;
  uint64_t anonymous_kib = 0;
  uint64_t anon_huge_kib = 0;
  uint64_t swap_kib = 0;
  uint64_t locked_kib = 0;
  uint32_t protection_key = 0;
  std::string vm_flags;  // two letters per flag, each with a trailing blank: "rd wr mr mw me ac "

  // Whether vm_flags contains this flag (two letters).
  bool has(std::string_view flag) const;
};

// In ascending order of the addresses. Unknown detail lines are skipped; throws Error(kernel) on a malformed line.
std::vector<SmapsEntry> parse_smaps(std::string_view text);

}  // namespace crx::proc
