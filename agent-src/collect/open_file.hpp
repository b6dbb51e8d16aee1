// The open file descriptions of a task, each with the numbers that refer to it.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "common/base/fd.hpp"
#include "common/proc/fdinfo.hpp"

namespace crx {

struct OpenFile {
  struct Number {
    int fd = -1;
    bool cloexec = false;
  };
  pid_t pid = 0;
  std::vector<Number> numbers;  // ascending, never empty
  std::string link;             // what /proc/PID/fd/N points to
  struct stat st {};
  proc::Fdinfo info;            // of the first number; flags without O_CLOEXEC
  // Our duplicate: only while the task is frozen, gone before it runs on. Shares position and flags: look, never touch.
  Fd own;
  uint32_t id = 0;  // of files.img

  int fd() const { return numbers.front().fd; }
  // "/proc/PID/fd/N"
  std::string proc_link() const;
  // "pid 12 fd 3 (pipe:[4711])", for messages.
  std::string label() const;
  // "anon_inode:[eventfd]" and the like.
  bool is_anonymous(std::string_view name) const { return link == name; }
  bool path_only() const;  // O_PATH
};

// The numbers in use, ascending. Throws Error(victim_gone).
std::vector<int> list_numbers(pid_t pid);

// What a running task has open, one entry per number (equal descriptions are not found). Numbers that vanish meanwhile
// are left out. Throws Error(victim_gone).
std::vector<OpenFile> list_open_files(pid_t pid);

// What a frozen task has open: one entry per description, in the order of their lowest numbers, with duplicates.
std::vector<OpenFile> take_open_files(pid_t pid, int pidfd);

}  // namespace crx
