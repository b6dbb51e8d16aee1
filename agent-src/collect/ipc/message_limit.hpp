// How many messages of a POSIX message queue are copied.
#pragma once

#include <cstddef>

#include "agent-src/tree/open_file.hpp"

namespace crx {

// Throws Error(refused) about the queue if `count` messages of up to `bytes` bytes each (mq_msgsize of mq_getattr(3),
// at least 1) take more than 256 MiB. A queue can hold so many only if its maker has CAP_SYS_RESOURCE or a high
// RLIMIT_MSGQUEUE.
void require_few_messages(const OpenFile& queue, std::size_t count, std::size_t bytes);

}  // namespace crx
