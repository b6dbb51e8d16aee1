// Sets the registers of all threads, as the last step of restoring a task.
#pragma once

#include <vector>

#include "agent-dst/vessel/vessel.hpp"
#include "common/image/schema/core.pb.h"
#include "common/image/schema/crx.pb.h"

namespace crx {

// Gives every thread its extended state, signal mask and general registers. cores and extra.threads are in the order of
// the vessel's threads. All threads of the vessel are stopped, and no remote call is made afterwards (call it after
// close_arenas()). A thread that was in a system call goes on with it when it is detached: the kernel finds
// orig_ax and -ERESTART* where it would have left them. Throws Error(unsupported) if this CPU lacks a part of the
// extended state that is in use.
void load_registers(Vessel& vessel, const std::vector<img::core_entry>& cores, const img::crx_task_entry& extra);

}  // namespace crx
