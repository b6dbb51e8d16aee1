// Control groups that somebody else has frozen, such as those of paused containers, thawed for a while.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

namespace crx {

// Freezes or thaws a group of either version (cgroup.freeze, freezer.state) and does not wait for it. Throws Error.
void set_frozen(const std::string& group, bool frozen);
// Freezes all of them; a failure is logged, and the others are frozen all the same.
void freeze_again(const std::vector<std::string>& groups) noexcept;

// The destructor freezes the groups again, best effort. Single-threaded.
class ThawedGroups {
 public:
  ThawedGroups() = default;
  ThawedGroups(const ThawedGroups&) = delete;
  ThawedGroups& operator=(const ThawedGroups&) = delete;
  ~ThawedGroups();

  // Thaws the groups that keep the process from running, from its own one up. before: called for each group before it
  // is thawed, so that others can freeze it again if we die. Throws Error.
  void thaw_for(pid_t pid, const std::function<void(const std::string&)>& before = {});
  // Leaves the groups to whoever was told of them.
  void abandon() noexcept { groups_.clear(); }

 private:
  std::vector<std::string> groups_;
};

}  // namespace crx
