// Whether descriptors of (other) processes refer to the same kernel objects: kcmp(2).
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace crx {

// A descriptor of some process.
struct TaskFd {
  pid_t pid = 0;
  int fd = -1;
};

enum class FileOrder { equal, less, greater, gone };

// Orders open file descriptions by the kernel's own (obfuscated) order, which stays the same while both exist: good
// for a tree. gone: one of the two does not exist (any more). Needs ptrace rights; the processes may run.
// Throws Error(unsupported) on a kernel without kcmp.
FileOrder compare_files(TaskFd a, TaskFd b);

// Whether descriptor `fd` of pid is what the epoll set `epoll_fd` of the same process watches under number
// `target`. toff: which one, where several were added under the same number (0 first).
bool is_epoll_target(pid_t pid, int fd, int epoll_fd, uint32_t target, uint32_t toff);

// Whether two processes share their descriptor table (CLONE_FILES).
bool share_descriptor_table(pid_t a, pid_t b);

}  // namespace crx
