// Whether an open file can be found again by the path that /proc shows for it.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <string>

namespace crx {

enum class NameState {
  good,      // the path leads to it
  deleted,   // no name is left: the content must be carried
  unlinked,  // this name is gone, but the file has another one somewhere
  hidden,    // the path leads to something else here (a mount over it)
};

struct FileName {
  std::string path;  // " (deleted)" taken off where that is what it means
  NameState state = NameState::good;
};

// link: what readlink of /proc/PID/fd/N (map_files, cwd, ...) gave; st: stat of the same. `pid` tells whose mount
// namespace the path belongs to.
FileName find_name(pid_t pid, const std::string& link, const struct stat& st);

// Whether this path of our own mount namespace is that file's. Names can end in " (deleted)", too.
bool leads_to(const std::string& path, const struct stat& wanted);

// What a state other than good and deleted means to the user: reason and remedy.
struct NameProblem {
  std::string reason;
  std::string remedy;
};
NameProblem explain(NameState state);

}  // namespace crx
