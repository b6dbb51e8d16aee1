// The open file descriptions of a tree, each with the descriptor numbers that refer to it.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/error.hpp"
#include "common/base/fd.hpp"
#include "common/base/log.hpp"
#include "common/proc/fdinfo.hpp"

namespace crx {

struct OpenFile {
  struct Number {
    pid_t pid = 0;
    int fd = -1;
    bool cloexec = false;
  };
  pid_t pid = 0;                // the task of the first number
  std::vector<Number> numbers;  // task by task, ascending; empty only for a description in flight in a socket
  std::string link;             // the target of /proc/PID/fd/N
  struct stat st {};
  proc::Fdinfo info;  // of the first number; flags without O_CLOEXEC
  // The description itself has O_CLOEXEC set (ioctl(TIOCGPTPEER) leaves it there), so fdinfo shows it for every number;
  // only fcntl(2) in the process returns the descriptor's own flag.
  bool cloexec_is_unknown = false;
  // Our duplicate: exists only while the task is frozen and is closed before it runs on. It shares position and flags
  // with the original, so read only and change nothing.
  Fd own;
  uint32_t id = 0;                                      // in files.img
  std::shared_ptr<const std::set<pid_t>> tree_members;  // the processes that move

  int fd() const { return numbers.empty() ? -1 : numbers.front().fd; }
  // Returns "/proc/PID/fd/N"; for a description without a number, the link of our duplicate.
  std::string proc_link() const;
  // Returns "pid 12 fd 3 (pipe:[4711])", for messages.
  std::string label() const;
  // name: "anon_inode:[eventfd]" and the like.
  bool is_anonymous(std::string_view name) const { return link == name; }
  bool path_only() const;  // O_PATH
  // Also for a process that the tree has forked since it was listed.
  bool is_in_tree(pid_t process) const;
};

// A process whose descriptors are to be duplicated; pidfd is its own and stays the caller's.
struct Holder {
  pid_t pid = 0;
  int pidfd = -1;
};

// Whether the descriptor of a running task still leads to the same file as when it was listed.
bool is_open_still(const OpenFile& file);

// Runs `look`, which reads a descriptor of a running task. An error that it throws counts only if the number still
// leads to the file, since reading a descriptor that is closed meanwhile can fail in any way.
template <typename Look>
void unless_closed(const OpenFile& file, Look look) {
  try {
    look();
  } catch (const Error& error) {
    if (is_open_still(file)) throw;
    log::debug("a descriptor that was closed meanwhile: {}", error.what());
  }
}

// Whether the description holds a write lease. Another open of its file would break the lease, and the holder would get
// a signal that may end it.
bool has_write_lease(const proc::Fdinfo& info);
// The same for a descriptor of a running task; false if it is closed by now.
bool has_write_lease(pid_t pid, int number);

// Returns the descriptor numbers in use, ascending. Throws Error(victim_gone).
std::vector<int> list_numbers(pid_t pid);

// Returns the open files of a running task, one entry per descriptor number (equal descriptions are not joined).
// Numbers that are closed meanwhile are left out. Throws Error(victim_gone).
std::vector<OpenFile> list_open_files(pid_t pid);

// Returns the open files of frozen tasks, one entry per description, in the order of tasks and numbers, each with a
// duplicate of our own. If tasks share one descriptor table, pass only one of them.
std::vector<OpenFile> take_open_files(const std::vector<Holder>& holders);

}  // namespace crx
