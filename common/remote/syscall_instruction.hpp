// Finds a `syscall` instruction in the code of a process.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "common/base/page.hpp"

namespace crx {

// Returns the address of a `syscall` instruction in the vDSO or, if the process has unmapped its vDSO, in its other
// code, outside of the ranges `not_in`. Reads the process's memory: needs ptrace access, and the process should be
// stopped. Throws Error(unsupported) when there is none.
uint64_t syscall_instruction(pid_t pid, const std::vector<PageRange>& not_in = {});

}  // namespace crx
