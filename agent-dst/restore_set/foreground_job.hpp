// Job control for a restored tree on the terminal of crx-restore (--shell-job).
#pragma once

#include <sys/types.h>

namespace crx {

// Makes the process group of `pid` the terminal's foreground group if our own group is that now, and notifies it of a
// possibly different terminal size. It is no error if there is no terminal.
void give_terminal(pid_t pid) noexcept;
// Waits for our child as a shell does: while it is stopped we stop as well, with our group in the foreground; when it
// has ended our group is in the foreground again. Returns its exit code, or 128 + the signal. Throws Error(kernel).
int await_job(pid_t pid);

}  // namespace crx
