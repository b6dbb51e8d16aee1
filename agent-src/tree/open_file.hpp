// The open file descriptions of a tree, each with the numbers that refer to it.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/fd.hpp"
#include "common/proc/fdinfo.hpp"

namespace crx {

struct OpenFile {
  struct Number {
    pid_t pid = 0;
    int fd = -1;
    bool cloexec = false;
  };
  pid_t pid = 0;                // of the first number
  std::vector<Number> numbers;  // task by task, ascending; empty only for one that is on its way through a socket
  std::string link;             // what /proc/PID/fd/N points to
  struct stat st {};
  proc::Fdinfo info;  // of the first number; flags without O_CLOEXEC
  // The description itself has O_CLOEXEC (ioctl(TIOCGPTPEER) leaves it there), so that fdinfo shows it for every
  // number; the kernel tells the truth only to who asks in the process.
  bool cloexec_is_unknown = false;
  // Our duplicate: only while the task is frozen, gone before it runs on. Shares position and flags: look, never touch.
  Fd own;
  uint32_t id = 0;                                      // of files.img
  std::shared_ptr<const std::set<pid_t>> tree_members;  // the processes that move along

  int fd() const { return numbers.empty() ? -1 : numbers.front().fd; }
  // "/proc/PID/fd/N"; of one without a number, our duplicate's
  std::string proc_link() const;
  // "pid 12 fd 3 (pipe:[4711])", for messages.
  std::string label() const;
  // "anon_inode:[eventfd]" and the like.
  bool is_anonymous(std::string_view name) const { return link == name; }
  bool path_only() const;  // O_PATH
  bool is_in_tree(pid_t process) const { return process == pid || (tree_members && tree_members->contains(process)); }
};

// A process whose descriptors are taken; pidfd is its own.
struct Holder {
  pid_t pid = 0;
  int pidfd = -1;
};

// Whether the number of a running task still leads to what it did when it was listed.
bool is_open_still(const OpenFile& file);

// Whether it holds a write lease: whoever opens its file breaks that, and the holder gets a signal that may end it.
bool has_write_lease(const proc::Fdinfo& info);
// The same of a number of a running task; false where it is closed by now.
bool has_write_lease(pid_t pid, int number);

// The numbers in use, ascending. Throws Error(victim_gone).
std::vector<int> list_numbers(pid_t pid);

// What a running task has open, one entry per number (equal descriptions are not found). Numbers that vanish meanwhile
// are left out. Throws Error(victim_gone).
std::vector<OpenFile> list_open_files(pid_t pid);

// What frozen tasks have open: one entry per description, in the order in which tasks and numbers show them, with
// duplicates. Of tasks that share one descriptor table only one may be given.
std::vector<OpenFile> take_open_files(const std::vector<Holder>& holders);

}  // namespace crx
