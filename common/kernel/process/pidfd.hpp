// Process descriptors: pidfd_open(2), pidfd_getfd(2), pidfd_send_signal(2).
#pragma once

#include <sys/types.h>

#include <optional>

#include "common/base/clock.hpp"
#include "common/base/fd.hpp"

namespace crx {

// Opens a descriptor for a process. Throws Error(victim_gone) when there is no such process.
Fd open_pidfd(pid_t pid);
// A duplicate of descriptor `fd` of the process, for the same open file description. Empty with errno set when the
// process has no such descriptor (EBADF) or has ended (ESRCH).
Fd try_get_fd(int pidfd, int fd);
// Sends a signal; false when the process has ended. Throws Error for any other failure.
bool send_signal(int pidfd, int signal);
// Frees the memory of a process that has just been killed (process_mrelease(2), Linux 5.15). Without this the exiting
// process keeps one core busy for some 100 ms per GiB. Returns when there is nothing left to free.
void release_memory(int pidfd) noexcept;
// Waits until the process has exited (it is a zombie or has been reaped). False when the deadline passed.
[[nodiscard]] bool wait_exit(int pidfd, Deadline deadline);

}  // namespace crx
