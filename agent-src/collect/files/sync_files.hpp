// Writing back what a task has written into files, so that another host finds it on the storage that both share.
#pragma once

#include <sys/types.h>

namespace crx {

// fdatasync(2) on every regular file that the task has open for writing or mapped shared and writable, through
// descriptions of our own. The task may run or be stopped. Throws Error naming the file that cannot be written back.
void sync_written_files(pid_t pid);

}  // namespace crx
