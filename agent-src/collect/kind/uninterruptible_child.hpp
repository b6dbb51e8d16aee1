// Work that must not be left half done, in a process that outlives us.
#pragma once

#include <cstddef>

namespace crx {

// Runs `work(argument)` in a child with all signals blocked and a session of its own, and waits for its end: our death
// in between does not end it. The child may only make system calls: no allocation, no locks, no exceptions. `argument`
// lies in shared memory if it is to bring something back. Returns what `work` returned (0..255). Throws Error(kernel)
// when the child was killed.
int run_uninterruptible_child(int (*work)(void*), void* argument);

}  // namespace crx
