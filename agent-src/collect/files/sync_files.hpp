// Writes back the file data of a task, so that another host finds it on shared storage.
#pragma once

#include <sys/types.h>

namespace crx {

// Calls fdatasync(2) on every regular file that the task has open for writing or mapped shared and writable, through
// descriptions of our own. The task may run or be stopped. Throws Error that names the file that cannot be written
// back.
void sync_written_files(pid_t pid);

}  // namespace crx
