// The image sets in the store of an agent, as its operator sees them: which there are, and removing one.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace crx {

struct StoredSet {
  std::string name;
  uint64_t bytes = 0;   // on the disk
  int64_t time_ns = 0;  // CLOCK_REALTIME when it was made
  std::string kind;     // "dump", "pre-dump", "check-only"; empty where nothing tells
  uint32_t pid = 0;     // of the tree's root; 0 where nothing tells
  std::string comm, host;
  std::string parent;  // name of the set that it continues, or the path of one elsewhere; empty for none
  std::vector<std::string> continued_by;  // names of sets in this store
  std::string damage;  // why its manifest cannot be read; empty where it can, or where CRIU made the set
};

// By name; what is being stored is not listed. Throws Error where the store cannot be read.
std::vector<StoredSet> list_sets(const std::string& store);
// For people, and as one JSON object ("sets").
std::string sets_text(const std::vector<StoredSet>& sets, int64_t now_ns);
std::string sets_json(const std::vector<StoredSet>& sets);

// The bytes that are free afterwards. Throws Error(refused) where another set of the store continues this one, or
// somebody reads or continues it just now; a set that is not removed is whole.
uint64_t remove_set(const std::string& store, const std::string& name);

}  // namespace crx
