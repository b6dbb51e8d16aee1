// Enlarges our own descriptor table for the duplicates that a stop takes of a tree's descriptors.
#pragma once

#include <sys/types.h>

#include <vector>

namespace crx {

// Makes this process's descriptor table large enough for duplicates of all descriptors that the processes have open
// now, and raises the limit on open files if needed (as far as it can be raised). If a table grows while several
// threads use it, the kernel waits for all CPUs (expand_fdtable(): synchronize_rcu(), 10 to 30 ms), which must not
// happen in the stop. The processes may run; those that have gone count as 0.
void reserve_fd_table(const std::vector<pid_t>& pids);

}  // namespace crx
