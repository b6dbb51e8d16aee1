#include "common/kernel/process/kcmp.hpp"

#include <linux/kcmp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "common/base/error.hpp"

namespace crx {
namespace {

// Returns 0 equal, 1 less, 2 greater, 3 different but not ordered; -errno on failure.
long raw_kcmp(pid_t a, pid_t b, int type, unsigned long x, unsigned long y) {
  const long result = ::syscall(SYS_kcmp, a, b, type, x, y);
  if (result >= 0) return result;
  if (errno == ENOSYS || errno == EOPNOTSUPP) {
    throw Error(ErrorCode::unsupported, "comparing descriptors", "this kernel has no kcmp (CONFIG_KCMP)", errno);
  }
  if (errno == EPERM || errno == EACCES) throw_errno("comparing descriptors", "process " + std::to_string(a));
  return -errno;
}

// The result of kcmp(2): 0 the same, 1 less, 2 greater; negative when one of the processes has ended.
long compare(Shared what, pid_t a, pid_t b) {
  int type = KCMP_VM;
  if (what == Shared::descriptors) type = KCMP_FILES;
  if (what == Shared::filesystem) type = KCMP_FS;
  if (what == Shared::signal_handlers) type = KCMP_SIGHAND;
  return ::syscall(SYS_kcmp, a, b, type, 0, 0);
}

}  // namespace

FileOrder compare_files(TaskFd a, TaskFd b) {
  const long result =
      raw_kcmp(a.pid, b.pid, KCMP_FILE, static_cast<unsigned long>(a.fd), static_cast<unsigned long>(b.fd));
  switch (result) {
    case 0:
      return FileOrder::equal;
    case 1:
      return FileOrder::less;
    case 2:
      return FileOrder::greater;
    default:
      return FileOrder::gone;
  }
}

bool is_epoll_target(TaskFd file, TaskFd set, uint32_t target, uint32_t toff) {
  kcmp_epoll_slot slot{};
  slot.efd = static_cast<__u32>(set.fd);
  slot.tfd = target;
  slot.toff = toff;
  return raw_kcmp(file.pid, set.pid, KCMP_EPOLL_TFD, static_cast<unsigned long>(file.fd),
                  reinterpret_cast<unsigned long>(&slot)) == 0;
}

bool share(Shared what, pid_t a, pid_t b) {
  return compare(what, a, b) == 0;
}

std::vector<std::size_t> first_to_share(Shared what, const std::vector<pid_t>& pids) {
  std::vector<std::size_t> first(pids.size());
  std::vector<std::size_t> sorted;  // one index per group found so far, in the kernel's order
  for (std::size_t i = 0; i < pids.size(); ++i) {
    first[i] = i;
    std::size_t low = 0, high = sorted.size();
    while (low < high) {
      const std::size_t middle = (low + high) / 2;
      const long order = compare(what, pids[i], pids[sorted[middle]]);
      if (order == 0) first[i] = sorted[middle];
      if (order == 0 || order < 0) break;
      (order == 1 ? high : low) = order == 1 ? middle : middle + 1;
    }
    if (first[i] == i) sorted.insert(sorted.begin() + static_cast<std::ptrdiff_t>(low), i);
  }
  return first;
}

uint32_t shared_things(pid_t a, pid_t b) {
  uint32_t found = 0;
  if (share(Shared::memory, a, b)) found |= sharing::kMemory;
  if (share(Shared::descriptors, a, b)) found |= sharing::kDescriptors;
  if (share(Shared::filesystem, a, b)) found |= sharing::kFilesystem;
  if (share(Shared::signal_handlers, a, b)) found |= sharing::kSignalHandlers;
  return found;
}

}  // namespace crx
