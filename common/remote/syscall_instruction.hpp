// Code of a process that makes a system call.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "common/base/page.hpp"

namespace crx {

// The address of a `syscall` instruction: the vDSO's, or, of a process that has unmapped it, one in its other code,
// outside of `not_in`. Reads the process's memory: needs ptrace access; the process should stand still. Throws
// Error(unsupported) where there is none.
uint64_t syscall_instruction(pid_t pid, const std::vector<PageRange>& not_in = {});

}  // namespace crx
