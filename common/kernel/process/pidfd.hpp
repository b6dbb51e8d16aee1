// Process descriptors: pidfd_open(2), pidfd_getfd(2), pidfd_send_signal(2).
#pragma once

#include <sys/types.h>

#include <optional>

#include "common/base/clock.hpp"
#include "common/base/fd.hpp"

namespace crx {

// Throws Error(victim_gone) when there is no such process.
Fd open_pidfd(pid_t pid);
// A duplicate of descriptor `fd` of the process: shares the open file description. Empty with errno set when
// the process has no such descriptor (EBADF) or is gone (ESRCH).
Fd try_get_fd(int pidfd, int fd);
// Sends a signal; false when the process is gone. Throws Error otherwise.
bool send_signal(int pidfd, int signal);
// Helps a process that has just been killed to give its memory back (process_mrelease(2), Linux 5.15), which else keeps
// one core busy for some 100 ms per GiB. Returns when there is nothing left to help with.
void release_memory(int pidfd) noexcept;
// Waits until the process has exited (become a zombie or been reaped). False when the deadline passed.
[[nodiscard]] bool wait_exit(int pidfd, Deadline deadline);

}  // namespace crx
