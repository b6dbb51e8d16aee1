// Memory protection keys (pkeys(7)): which ones a process has allocated.
#pragma once

#include "agent-src/freeze/frozen_task.hpp"
#include "common/image/schema/crx.pb.h"

namespace crx {

// Adds the allocated keys to `extra`. The key of each mapping is an attribute of the mapping, and the access rights are
// in a register (PKRU). The task is frozen and its arena injected.
void add_protection_keys(FrozenTask& task, img::crx_task_entry& extra);

}  // namespace crx
