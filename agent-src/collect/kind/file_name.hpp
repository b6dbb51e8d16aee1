// Finds out whether an open file can be opened again by the path that /proc shows for it.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <string>

namespace crx {

enum class NameState {
  good,      // the path leads to it
  deleted,   // no name is left: the content must be carried along
  unlinked,  // this name was removed, but the file has another one somewhere
  hidden,    // the path leads to something else here (a mount over it)
};

struct FileName {
  std::string path;  // without " (deleted)" if the kernel added that
  NameState state = NameState::good;
};

// link: the target of a /proc link (/proc/PID/fd/N, map_files, cwd, ...); st: stat(2) of the same link. The path
// belongs to the mount namespace of `pid`.
FileName find_name(pid_t pid, const std::string& link, const struct stat& st);

// Whether this path of our own mount namespace leads to that file. A file's own name may end in " (deleted)", too.
bool leads_to(const std::string& path, const struct stat& wanted);

// The explanation of a state other than good and deleted, for the user.
struct NameProblem {
  std::string reason;
  std::string remedy;
};
// Precondition: a state other than good and deleted.
NameProblem explain(NameState state);

}  // namespace crx
