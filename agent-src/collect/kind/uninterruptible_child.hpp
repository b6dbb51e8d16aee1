// Runs work that must not be left half done in a process that survives ours.
#pragma once

#include <cstddef>

namespace crx {

// Runs `work(argument)` in a child with all signals blocked and a posix session of its own, and waits for its end; if
// our process dies meanwhile, the child still finishes. The child may only make system calls: no allocation, no locks,
// no exceptions. To bring results back, `argument` must lie in shared memory. Returns the result of `work` (0..255).
// Throws Error(kernel) if the child was killed.
int run_uninterruptible_child(int (*work)(void*), void* argument);

}  // namespace crx
