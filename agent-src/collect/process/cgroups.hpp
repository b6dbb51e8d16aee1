// Records where the tasks of a tree are in the cgroup hierarchies.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>

namespace crx {

// The groups of a tree before the migration moved it into one of its own. Groups that say nothing about the program are
// left out: the root of a hierarchy, a group that crx has made for a tree, and the scope of a login session.
class CgroupHomes {
 public:
  // Records the current groups of the process, unless they are recorded already. A process that has gone is left out.
  void note(pid_t pid);
  // Returns the groups that the destination shall make again, in the format of /proc/PID/cgroup. A process that was
  // forked in the migration's group counts as being in the parent of that group. Empty for a process that has gone.
  std::string text_of(pid_t pid) const;

 private:
  std::map<pid_t, std::string> known_;
};

}  // namespace crx
