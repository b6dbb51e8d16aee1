// Shared memory in a set that continues another: what is left to the parent is found by content.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <vector>

#include "agent-src/dump/dump_store.hpp"
#include "agent-src/memory/shared_objects.hpp"

namespace crx {

// A page that could be written through a descriptor, by a mapper outside of the tree or while nobody tracked carries no
// mark of it; so the digests that the parent keeps decide. digests: whether this set must keep some for the next one.
class DumpObjects {
 public:
  DumpObjects(DumpStore& store, const ParentSet* parent, bool digests)
      : store_(store), parent_(parent), digests_(digests) {}

  // The pages of all shared objects that the spaces map or the holders have open. running: objects may change and go
  // meanwhile; else a page that cannot be read is Error(refused). What is left to the parent is added to in_parent.
  void write(const std::vector<MappedSpace>& spaces, const std::vector<pid_t>& holders, bool running,
             std::map<PageSpace, std::vector<PageRange>>& in_parent);

 private:
  void write_object(const FinalObject& object, int fd, bool running, std::vector<PageRange>& in_parent);

  DumpStore& store_;
  const ParentSet* parent_;
  bool digests_;
};

}  // namespace crx
