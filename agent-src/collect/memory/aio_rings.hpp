// Asynchronous I/O contexts (io_setup(2)). The ring of events is memory of the process, and travels in the last round;
// what is under way in a context cannot, and leaves no mark in memory while it arrives there. So nothing may be, and
// the memory of a process that has a ring is compared by content.
#pragma once

#include <sys/types.h>

#include <vector>

#include "common/base/page.hpp"

namespace crx {

// Where the rings of a task lie, ascending.
std::vector<PageRange> list_aio_rings(pid_t pid);

}  // namespace crx
