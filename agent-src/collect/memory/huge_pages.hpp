// How many huge pages (hugetlb) a tree needs: they are set aside by the administrator, and who finds none is ended by
// SIGBUS.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>

#include "agent-src/collect/memory/memory_map.hpp"

namespace crx {

class HugePageCount {
 public:
  // Adds a task, whose map has been read. What tasks share, or share since a fork, counts once. Throws
  // Error(victim_gone).
  void add(pid_t pid, MemoryMap& map);
  // Size of a page -> how many.
  std::map<uint64_t, uint64_t> pages() const;

 private:
  struct Need {
    uint64_t page_bytes = 0, pages = 0;
  };
  std::map<uint64_t, Need> objects_;  // by inode
};

}  // namespace crx
