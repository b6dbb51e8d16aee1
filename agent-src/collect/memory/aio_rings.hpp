// Asynchronous I/O contexts (io_setup(2)). The ring of events is memory of the process and is sent in the last round. A
// request in flight cannot be moved, and its data arrives in memory without leaving a mark in the page tables. So no
// request may be in flight in the stop, and the memory of a process with a ring is compared by content.
#pragma once

#include <sys/types.h>

#include <vector>

#include "common/base/page.hpp"

namespace crx {

// Returns the address ranges of the rings of a task, ascending. Throws Error if the task has gone.
std::vector<PageRange> list_aio_rings(pid_t pid);

}  // namespace crx
