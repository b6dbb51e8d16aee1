// The image sets in the store of an agent, for its operator: listing them and removing one.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace crx {

struct StoredSet {
  std::string name;
  uint64_t bytes = 0;   // size on disk
  int64_t time_ns = 0;  // CLOCK_REALTIME of its creation
  std::string kind;     // "dump", "pre-dump" or "check-only"; empty if unknown
  uint32_t pid = 0;     // root of the tree; 0 if unknown
  std::string comm, host;
  std::string parent;  // name of the set that it continues, or the path of one elsewhere; empty for none
  std::vector<std::string> continued_by;  // names of sets in this store
  std::string damage;                     // why its manifest cannot be read; empty if it can, or if CRIU made the set
};

// Sorted by name, without sets that are being stored. Throws Error if the store cannot be read.
std::vector<StoredSet> list_sets(const std::string& store);
// The list as a table, and as one JSON object ("sets"). now_ns: CLOCK_REALTIME, for ages.
std::string sets_text(const std::vector<StoredSet>& sets, int64_t now_ns);
std::string sets_json(const std::vector<StoredSet>& sets);

// Removes a set and returns the number of bytes freed. Throws Error(refused) if another set of the store continues it,
// or if it is being read or continued at the moment; a set that is not removed stays complete.
uint64_t remove_set(const std::string& store, const std::string& name);

}  // namespace crx
