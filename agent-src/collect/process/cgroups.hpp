// Where the tasks of a tree are in the cgroup hierarchies.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>

namespace crx {

// What the groups of a tree were before the session moved it into one of its own. Not listed are groups that say
// nothing about the program: the root of a hierarchy, a group that crx made for a tree, and the scope of a login
// session.
class CgroupHomes {
 public:
  // Notes where the process is now, unless that is known. A process that has gone is left out.
  void note(pid_t pid);
  // As /proc/PID/cgroup, of those groups that are to be made again. Of a process that was born in the session's group,
  // which lies below its root's group: where that one lies. Empty for a process that has gone.
  std::string text_of(pid_t pid) const;

 private:
  std::map<pid_t, std::string> known_;
};

}  // namespace crx
