// Writes shared memory into a set that continues another. Pages that can be left to the parent are found by content.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <vector>

#include "agent-src/dump/dump_store.hpp"
#include "agent-src/memory/shared_objects.hpp"

namespace crx {

// Marks do not show a write that goes through a descriptor, comes from a process outside the tree, or happens while
// nobody tracks. So the parent's digests decide whether a page has changed. digests: whether this set must keep digests
// for the next one.
class DumpObjects {
 public:
  DumpObjects(DumpStore& store, const ParentSet* parent, bool digests)
      : store_(store), parent_(parent), digests_(digests) {}

  // Writes the pages of all shared objects that are mapped in `spaces` or open in `holders`, and adds the pages that
  // are left to the parent to in_parent. running: objects may change and vanish in the meantime; otherwise a page that
  // cannot be read is Error(refused).
  void write(const std::vector<MappedSpace>& spaces, const std::vector<pid_t>& holders, bool running,
             std::map<PageSpace, std::vector<PageRange>>& in_parent);

 private:
  void write_object(const FinalObject& object, int fd, bool running, std::vector<PageRange>& in_parent);

  DumpStore& store_;
  const ParentSet* parent_;
  bool digests_;
};

}  // namespace crx
