// Stops a tree at a moment at which its connections can be moved.
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "agent-src/freeze/frozen_tree.hpp"

namespace crx {

// Calls FrozenTree::freeze() and checks the unaccepted connections within the tree. A connection that already has data
// in it, or whose client has gone, can be moved only if that data can be read (never for TCP; for unix sockets if
// UnacceptedReader works). Otherwise the tree runs on for some milliseconds, so that the server accepts the connection,
// and is stopped again, up to some twenty times. After that the collectors refuse such a connection. timeout_ms: the
// limit of each stop. Errors are those of FrozenTree::freeze().
FrozenTree freeze_quiescent(pid_t root, int64_t timeout_ms, KernelView& kernel);

}  // namespace crx
