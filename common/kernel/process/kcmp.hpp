// Compares kernel objects of other processes (open files, address spaces, descriptor tables): kcmp(2).
#pragma once

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace crx {

// A descriptor number of a process.
struct TaskFd {
  pid_t pid = 0;
  int fd = -1;
};

enum class FileOrder { equal, less, greater, gone };

// Orders open file descriptions by the kernel's own (obfuscated) order. The order does not change while both exist, so
// it can serve for a search tree. gone: one of the two does not exist (any more). Needs ptrace access; the processes
// may run. Throws Error(unsupported) on a kernel without kcmp.
FileOrder compare_files(TaskFd a, TaskFd b);

// Whether `file` is the file that the epoll set `set` watches under number `target`. toff: the index (from 0) among
// several files that were added under the same number.
bool is_epoll_target(TaskFd file, TaskFd set, uint32_t target, uint32_t toff);

// The resources that processes may share (clone(2)).
enum class Shared { memory, descriptors, filesystem, signal_handlers };
// Whether two processes share the resource. Also false when one of them has ended or may not be inspected.
bool share(Shared what, pid_t a, pid_t b);

// For each process, the index of the first process in `pids` with which it shares the resource; its own index when
// there is none. Needs N log N calls: the kernel orders the shared resources, and the order does not change while all
// processes exist.
std::vector<std::size_t> first_to_share(Shared what, const std::vector<pid_t>& pids);

// The shared resources of two processes as a set of bits.
namespace sharing {
inline constexpr uint32_t kMemory = 1, kDescriptors = 2, kFilesystem = 4, kSignalHandlers = 8;
inline constexpr std::array<uint32_t, 4> kEach = {kMemory, kDescriptors, kFilesystem, kSignalHandlers};
inline constexpr uint32_t kAll = 15;
}  // namespace sharing
uint32_t shared_things(pid_t a, pid_t b);

}  // namespace crx
