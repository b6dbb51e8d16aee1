// A restore: a set of images becomes a running process tree.
#pragma once

#include <sys/types.h>

#include <functional>

#include "agent-dst/restore_options.hpp"

namespace crx {

// Builds the tree and lets it run; its root is a child of our parent. Needs a process of its own with one thread, which
// should end afterwards. about_to_run: called when all is built and nothing runs yet; when it throws, nothing will.
// Returns the root's PID. Throws Error: nothing of the tree is left then.
pid_t run_restore(const RestoreOptions& options, const std::function<void(pid_t)>& about_to_run);

}  // namespace crx
