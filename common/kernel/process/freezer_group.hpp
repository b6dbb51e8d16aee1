// A cgroup that can be frozen as a whole: what must stay stopped when its tracer dies sits in one.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>

#include "common/base/clock.hpp"
#include "common/base/fd.hpp"

namespace crx {

// A group of our own below the one a process is in (cgroup v2's cgroup.freeze, else the v1 freezer), named
// crx-NAME. Destroying it thaws it, moves what is in it to the groups it came from, or else to the parent group, and
// removes it, best effort: a victim never stays frozen by accident. See cgroups(7),
// Documentation/admin-guide/cgroup-v2.rst "cgroup.freeze".
class FreezerGroup {
 public:
  // Creates the group below the group of `pid` (which stays where it is). Throws Error(unsupported) where no
  // freezer hierarchy is mounted or writable, with the reason.
  static FreezerGroup create_below(pid_t pid, const std::string& name);
  // A group that create_below made in another process, by its path().
  static FreezerGroup open_existing(const std::string& path);
  FreezerGroup(FreezerGroup&& other) noexcept;
  FreezerGroup& operator=(FreezerGroup&&) = delete;
  ~FreezerGroup();

  // Moves a process with all its threads in. Slow (milliseconds: an RCU grace period); do it outside the freeze.
  void add(pid_t pid);
  // Freezes; returns when the kernel says that all of it is frozen (a ptrace-stopped task counts). Throws
  // Error(kernel) and thaws when the deadline passes.
  void freeze(Deadline deadline);
  void thaw();
  // Moves everything back, as the destructor does, and removes the group. Thaws first.
  void dissolve();
  // Leaves the group as it is, frozen or not, for good: it now belongs to whoever resolves the session.
  void abandon() noexcept { path_.clear(); }
  // A descriptor of the group's directory for CLONE_INTO_CGROUP; empty under v1.
  Fd directory() const;
  const std::string& path() const noexcept { return path_; }

 private:
  FreezerGroup(std::string path, std::string parent, bool v2) noexcept;
  std::string path_, parent_;
  bool v2_;
  std::map<pid_t, std::string> homes_;  // directories of the groups that processes were added from, if not parent_
};

// Removes every group that create_below made below the group of `pid` and that holds nobody any more.
void remove_empty_groups(pid_t pid);

// The name of the group that holds the tree of a session at its destination.
std::string group_name(const std::string& session);

}  // namespace crx
