// Restartable sequences: a thread in one must not find its registers changed or its code moved under it.
#pragma once

#include <sys/types.h>
#include <sys/user.h>

#include "common/remote/traced_thread.hpp"

namespace crx {

// If the stopped thread is inside an rseq critical section (struct rseq_cs of linux/rseq.h), moves rip in `regs` to
// the section's abort handler, as the kernel does on preemption, and says true. Reads the task's memory from
// outside; a registration or descriptor that cannot be read counts as none.
bool leave_rseq_section(pid_t pid, const RseqConfiguration& rseq, user_regs_struct& regs);

}  // namespace crx
