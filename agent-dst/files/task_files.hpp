// Files of this host, used for the tasks of a tree as these could use them.
#pragma once

#include <sys/types.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "agent-dst/files/fs_credentials.hpp"
#include "common/base/fd.hpp"
#include "common/kernel/files/file_identity.hpp"

namespace crx {

// Finds and opens files with the credentials of a task, and remembers which files have been compared with those of the
// other host. A file is found once, by name and without symbolic links; it is then compared and opened by this
// descriptor, whatever has its name by then. Single-threaded.
class TaskFiles {
 public:
  // The files for which the agent uses its own rights where a task lacks permission: a program may have opened a file
  // as root before it became another user.
  enum class Agent {
    nothing,         // for sources that may not have root tasks: they get no files that their tasks may not open
    compared_files,  // files that have been compared with the other host's in this session, and those of /proc
    anything,        // for images that the user of this host trusts
  };
  TaskFiles() = default;
  explicit TaskFiles(Agent agent) : agent_(agent) {}

  // Says whose credentials to use for a task; a later call replaces an earlier one. A task that is not known uses files
  // as the first one that is.
  void set(pid_t task, FsIds ids);
  // Says that the task is there, and that of the tree, so that its files of /proc are the tree's own.
  void set_made(pid_t task) { made_.insert(task); }

  // As try_find() for an absolute path, or a namespace of a task of the tree (/proc/PID/ns/KIND); an empty Fd and errno
  // where that fails.
  Fd find(pid_t task, const std::string& path, int flags = 0) const;
  // Opens the file that find() found. path: its path, for O_NOFOLLOW, which the kernel keeps in the flags of the
  // description: with it the name is used again, and must lead to the same file. An empty Fd and errno (ESTALE: it does
  // not) where that fails.
  Fd open(pid_t task, int found, const std::string& path, int flags) const;
  // Whether open() would succeed with this access mode (O_RDONLY, O_WRONLY, O_RDWR); leaves errno set where not.
  bool may_open(pid_t task, int found, uint32_t access) const;
  // Runs `act`, which returns whether it succeeded and leaves errno set, with the credentials of the task; where these
  // do not suffice, again with the agent's rights if nothing forbids that. again: what is done then, if not the same.
  // Throws Error(refused) where no task is known.
  bool act_as(pid_t task, const std::function<bool()>& act, const std::function<bool()>& again = {}) const;
  // The same for what is done to a file that find() found; with the agent's rights only where open() would use them.
  bool act_on(pid_t task, int found, const std::function<bool()>& act) const;
  // Takes the credentials of the task until the result is destroyed. nullptr: no task is known, and the agent's
  // suffice. Throws Error(refused) as act_as().
  std::unique_ptr<FsCredentials> as(pid_t task) const;
  // Whether the agent's rights are used at all where those of a task do not suffice.
  bool agent_helps() const noexcept { return agent_ != Agent::nothing; }

  // As find(), also with the agent's rights if it helps: for looking at files that tasks do not get.
  Fd find_to_compare(pid_t task, const std::string& path, int flags = 0) const;
  // Compares the file at wanted.path with the other host's (file_difference()), and remembers the result. before_piece:
  // see FileAccess.
  std::optional<std::string> compare(pid_t task, const FileIdentity& wanted, bool same_kernel,
                                     std::function<void(uint64_t)> before_piece);
  // Returns why the file `found`, which has this path now, is not the one of which compare() knew the content; nullopt
  // if it is, or if nothing was known of it.
  std::optional<std::string> difference_since(pid_t task, const std::string& path, int found) const;
  // Returns "uid 1000" for messages; "its user" where no task is known.
  std::string user_of(pid_t task) const;

 private:
  class Reader;
  struct Compared {
    FileIdentity wanted;
    FileStamp here;
    bool same_kernel = false;
  };
  const FsIds* ids_of(pid_t task) const;
  Fd get(pid_t task, const std::function<Fd()>& open) const;
  bool agent_may(int found) const;
  bool is_of_own_task(const std::string& path) const;
  std::string_view name_of_own_task(const std::string& path) const;

  Agent agent_ = Agent::anything;
  OwnFsIds own_ = own_fs_ids();
  std::map<pid_t, FsIds> tasks_;
  pid_t first_ = 0;
  std::set<pid_t> made_;
  std::map<std::string, Compared> compared_;         // by path: files with content that is known
  std::set<std::pair<uint64_t, uint64_t>> numbers_;  // device and inode of all that were compared
};

}  // namespace crx
