// Restores sleeps whose remaining time only the kernel keeps (-ERESTART_RESTARTBLOCK).
#pragma once

#include <cstdint>
#include <vector>

#include "agent-dst/vessel/vessel.hpp"
#include "common/image/schema/crx.pb.h"

namespace crx {

// The registers that a thread needs after its sleep was restored: rax, and orig_rax (-1: the call has ended).
struct SleepOutcome {
  bool slept = false;  // false: the thread was in no such call
  uint64_t ax = 0;
  uint64_t orig_ax = 0;
};

// Lets every thread that was in such a call begin it again with the time it has left, and interrupts it at once: the
// kernel then knows what to restart. A call that ends at once (its time is up, its event is there) has its result. All
// threads are stopped, with all signals blocked, and are again afterwards; their registers must still be set. Returns
// one outcome per thread, in the order of extra.threads.
std::vector<SleepOutcome> begin_sleeps(Vessel& vessel, const img::crx_task_entry& extra);

}  // namespace crx
