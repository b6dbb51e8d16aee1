// Whether descriptors of (other) processes refer to the same kernel objects: kcmp(2).
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <vector>

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

// Whether `file` is what the epoll set `set` watches under number `target`. toff: which one, where several were added
// under the same number (0 first).
bool is_epoll_target(TaskFd file, TaskFd set, uint32_t target, uint32_t toff);

// What processes may share (clone(2)).
enum class Shared { memory, descriptors, filesystem, signal_handlers };
// Whether two processes share it. False, too, when one of them has gone or may not be looked at.
bool share(Shared what, pid_t a, pid_t b);

// For each process the index of the first one that shares it; its own where that is none. N log N calls: the kernel
// orders what processes share, and the order stays while all exist.
std::vector<std::size_t> first_to_share(Shared what, const std::vector<pid_t>& pids);

// The same as a set of bits.
namespace sharing {
inline constexpr uint32_t kMemory = 1, kDescriptors = 2, kFilesystem = 4, kSignalHandlers = 8;
inline constexpr uint32_t kAll = 15;
}  // namespace sharing
uint32_t shared_things(pid_t a, pid_t b);

}  // namespace crx
