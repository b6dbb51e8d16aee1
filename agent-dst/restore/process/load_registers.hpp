// The last thing of all: what a thread will find in its registers.
#pragma once

#include <vector>

#include "agent-dst/vessel/vessel.hpp"
#include "common/image/schema/core.pb.h"
#include "common/image/schema/crx.pb.h"

namespace crx {

// Gives every thread its extended state, signal mask and general registers. cores and extra.threads are in the order
// of the vessel's threads. The vessel is stopped everywhere and no remote call is made afterwards (after
// Vessel::close_arena()). Threads that were in a system call go on with it when they are detached: the kernel finds
// orig_ax and -ERESTART* where it would have left them. Throws Error(unsupported) where this CPU lacks a part of the
// extended state that is in use.
void load_registers(Vessel& vessel, const std::vector<img::core_entry>& cores, const img::crx_task_entry& extra);

}  // namespace crx
