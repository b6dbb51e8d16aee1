// Counts the huge pages (hugetlb) that a tree needs. The administrator reserves them; a process that finds none free is
// killed by SIGBUS.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>

#include "agent-src/collect/memory/memory_map.hpp"

namespace crx {

class HugePageCount {
 public:
  // Adds a task whose map has been read. Pages that tasks share, or have shared since a fork, count once. Throws
  // Error(victim_gone).
  void add(pid_t pid, MemoryMap& map);
  // Returns the number of pages by page size in bytes.
  std::map<uint64_t, uint64_t> pages() const;

 private:
  struct Need {
    uint64_t page_bytes = 0, pages = 0;
  };
  std::map<uint64_t, Need> objects_;  // keyed by inode
};

}  // namespace crx
