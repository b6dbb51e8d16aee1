// The image sets in the store of an agent, each in DIR/SET.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "common/base/fd.hpp"

namespace crx {

// The prefix of the hidden names of unfinished sets.
inline constexpr char kStagedPrefix[] = ".staging-";

// A set that is being written: a folder with a hidden name in the store. publish() gives it its name; if it is
// destroyed before, the folder is removed.
class StagedSet {
 public:
  // `name` is checked here: Error(refused) if it is not a valid name, or if there is such a set already. session: makes
  // the hidden name unique.
  StagedSet(const std::string& store, const std::string& name, const std::string& session);
  StagedSet(const StagedSet&) = delete;
  StagedSet& operator=(const StagedSet&) = delete;
  ~StagedSet();

  const std::string& path() const noexcept { return path_; }
  // Gives the folder, whose content must be on disk, the name of the set. Never replaces another set.
  void publish();

 private:
  std::string name_, staging_, path_;
  std::string store_;
  Fd directory_;  // the directory of the store
};

// The path of a set. Error(refused) if `name` is not a valid name.
std::string set_path(const std::string& store, const std::string& name);
// Removes unfinished sets. Called at the start of an agent, when nothing else uses the store.
void remove_staged(const std::string& store);

// A set in the store, as a list of the newest shows it.
struct RecentSet {
  std::string name;
  uint64_t bytes = 0;  // of its files
  int64_t modified_ns = 0;
};
// Returns the sets that were written last, at most `most`, the newest first; unfinished sets do not count. all: the
// number of all sets.
std::vector<RecentSet> recent_sets(const std::string& store, std::size_t most, std::size_t& all);

}  // namespace crx
