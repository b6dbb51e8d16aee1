// Room for the duplicates that a stop takes of a tree's descriptors.
#pragma once

#include <sys/types.h>

namespace crx {

// Makes this process's table of descriptors large enough for the duplicates of all that the tree has open now, and
// raises the limit on open files where that is below (as far as it may be raised). A table that grows while several
// threads use it makes the kernel wait for all CPUs (expand_fdtable(): synchronize_rcu(), 10 to 30 ms): not in the
// stop. The tree may run; what of it has gone counts nothing. Throws Error(victim_gone) when the root has.
void reserve_fd_table(pid_t root);

}  // namespace crx
