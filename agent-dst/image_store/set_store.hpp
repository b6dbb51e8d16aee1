// The image sets in the store of an agent: DIR/SET each.
#pragma once

#include <string>

#include "common/base/fd.hpp"

namespace crx {

// What the hidden names of unfinished sets begin with.
inline constexpr char kStagedPrefix[] = ".staging-";

// A set that is being made: a folder with a hidden name in the store. It gets its own with publish(), and is removed
// when destroyed before.
class StagedSet {
 public:
  // `name`: checked here. Error(refused) where it is no name of a set, or there is such a set already.
  StagedSet(const std::string& store, const std::string& name, const std::string& session);
  StagedSet(const StagedSet&) = delete;
  StagedSet& operator=(const StagedSet&) = delete;
  ~StagedSet();

  const std::string& path() const noexcept { return path_; }
  // The folder, with all that was synced in it, gets the set's name. Never replaces another set.
  void publish();

 private:
  std::string name_, staging_, path_;
  std::string store_;
  Fd directory_;  // of the store
};

// Path of a set. Error(refused) where it is no name of a set.
std::string set_path(const std::string& store, const std::string& name);
// At the start of an agent, which has the store to itself: what was left unfinished.
void remove_staged(const std::string& store);
// Sets in the store; those that are unfinished do not count.
std::size_t count_sets(const std::string& store);

}  // namespace crx
