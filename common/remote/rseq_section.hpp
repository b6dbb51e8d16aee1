// Restartable sequences (rseq): a thread that is inside one must not continue there after its registers were changed or
// its code was moved.
#pragma once

#include <sys/types.h>
#include <sys/user.h>

#include "common/remote/traced_thread.hpp"

namespace crx {

// If the stopped thread is inside an rseq critical section (struct rseq_cs of linux/rseq.h), sets rip in `regs` to the
// abort handler of the section, as the kernel does on preemption, and returns true. Reads the memory of the task from
// outside; a registration or descriptor that cannot be read counts as absent.
bool leave_rseq_section(pid_t pid, const RseqConfiguration& rseq, user_regs_struct& regs);

}  // namespace crx
