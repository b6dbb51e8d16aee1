// A cgroup that can be frozen as a whole. Tasks that must stay stopped when their tracer dies are put into one.
#pragma once

#include <sys/types.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/base/clock.hpp"
#include "common/base/fd.hpp"

namespace crx {

// A group that crx creates below the group of a process (cgroup v2 with cgroup.freeze, else the v1 freezer), named
// crx-NAME. The destructor thaws it, moves its members back to the groups they came from (or else to the parent group)
// and removes it, best effort, so that a victim never stays frozen by accident. See cgroups(7),
// Documentation/admin-guide/cgroup-v2.rst "cgroup.freeze".
//
// An object of create_below() or create() owns its group: it keeps the group's directory locked (flock(2), shared),
// also while the group has no member, until it is dissolved or abandoned, or its process ends. remove_empty_groups()
// leaves such groups alone.
class FreezerGroup {
 public:
  // Creates the group below the group of `pid`, which is not moved. Throws Error(unsupported), with the reason, when no
  // freezer hierarchy is mounted or writable.
  static FreezerGroup create_below(pid_t pid, const std::string& name);
  // The same in two steps, for a caller that writes the path down before the group exists.
  static std::string path_below(pid_t pid, const std::string& name);
  static FreezerGroup create(const std::string& path);
  // Opens, by its path(), a group that create_below made in another process. homes: homes() of that object, if they are
  // known.
  static FreezerGroup open_existing(const std::string& path, std::map<pid_t, std::string> homes = {});
  FreezerGroup(FreezerGroup&& other) noexcept;
  FreezerGroup& operator=(FreezerGroup&&) = delete;
  ~FreezerGroup();

  // Moves a process with all its threads into the group. This is slow (milliseconds, an RCU grace period), so it is
  // done before the freeze.
  void add(pid_t pid);
  // Freezes the group and returns when the kernel reports that all tasks are frozen (a ptrace-stopped task counts).
  // When the deadline passes it thaws the group and throws Error(kernel).
  void freeze(Deadline deadline);
  void thaw();
  // Thaws, moves all members back as the destructor does, also those that are forked meanwhile, and removes the group.
  // Throws Error if a process stays in the group; the others have been moved then.
  void dissolve();
  // Leaves the group as it is for good, frozen or not: the operator who resolves the session is responsible for it from
  // now on.
  void abandon() noexcept;
  // A descriptor of the group's directory for CLONE_INTO_CGROUP (clone3(2)); empty under v1.
  Fd directory() const;
  // Whether the kernel reports that all tasks are frozen.
  bool is_frozen() const;
  // The processes in the group, except zombies, as numbers of our PID namespace.
  std::vector<pid_t> members() const;
  const std::string& path() const noexcept { return path_; }
  // The directory of the original group of each process that was added, unless that is the group above this one.
  const std::map<pid_t, std::string>& homes() const noexcept { return homes_; }

 private:
  FreezerGroup(std::string path, std::string parent, bool v2) noexcept;
  std::string move_members() const;

  std::string path_, parent_;
  bool v2_;
  Fd owned_;  // the locked directory; empty unless this object owns the group
  std::map<pid_t, std::string> homes_;
};

// A group of create_below that another process uses.
struct GroupView {
  std::vector<pid_t> members;  // as FreezerGroup::members()
  bool is_frozen = false;
};
// Looks at a group and changes nothing; nothing if it does not exist. Throws Error.
std::optional<GroupView> look_at_group(const std::string& path);

// Returns the groups that keep the process from running: its own and those above it that somebody has frozen, in both
// versions of control groups, the nearest first; none if it can run. Throws Error.
std::vector<std::string> find_frozen_groups(pid_t pid);

// Removes every empty group that create_below made below the group of `pid` and that nobody owns any more.
void remove_empty_groups(pid_t pid);

// The name of the group that holds the tree of a session at the destination.
std::string group_name(const std::string& session);

}  // namespace crx
