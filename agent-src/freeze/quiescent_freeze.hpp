// Stopping a tree at a moment at which it can be moved.
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "agent-src/freeze/frozen_tree.hpp"

namespace crx {

// FrozenTree::freeze(). Where a connection within the tree is not accepted yet and has data in it already, or its
// client has gone, and nobody can look at that data (of TCP; of unix sockets where UnacceptedReader cannot): the tree
// runs on for some milliseconds, so that the server accepts it, and is stopped again, some twenty times. What is still
// so then is left to the collectors, which refuse it.
FrozenTree freeze_quiescent(pid_t root, int64_t timeout_ms, SleepReader& sleeps);

}  // namespace crx
