// Sleeps with a time limit that the kernel keeps to itself (-ERESTART_RESTARTBLOCK), built anew.
#pragma once

#include <cstdint>
#include <vector>

#include "agent-dst/vessel/vessel.hpp"
#include "common/image/schema/crx.pb.h"

namespace crx {

// What a thread's registers must say where it slept: rax, and orig_rax (-1: the call is over).
struct SleepOutcome {
  bool slept = false;  // false: the thread was in no such call
  uint64_t ax = 0;
  uint64_t orig_ax = 0;
};

// Every thread that was in such a call begins it again with the time it has left, and is interrupted at once: the
// kernel then knows what to restart. A call that is over at once (its time is up, its event is there) has its result.
// All threads are stopped, with all signals blocked; they are again afterwards, with registers to be set. One outcome
// a thread, in the order of extra.threads.
std::vector<SleepOutcome> begin_sleeps(Vessel& vessel, const img::crx_task_entry& extra);

}  // namespace crx
