// A job on the terminal we are at (crx-restore --shell-job).
#pragma once

#include <sys/types.h>

namespace crx {

// Makes the group of `pid` the terminal's foreground group where that is ours now, and tells it that the size of the
// terminal may be another one. No error where there is no terminal.
void give_terminal(pid_t pid) noexcept;
// Waits for our child as a shell does: while it is stopped we stop, too, with the terminal ours; when it has ended the
// terminal is ours again. Its exit code, or 128 + the signal. Throws Error(kernel).
int await_job(pid_t pid);

}  // namespace crx
