// Memory protection keys (pkeys(7)): which ones a process has allocated.
#pragma once

#include "agent-src/freeze/frozen_task.hpp"
#include "common/image/schema/crx.pb.h"

namespace crx {

// Adds the keys; which mapping has which one is an attribute of the mapping, the rights are in the registers. The task
// is frozen, with its arena.
void add_protection_keys(FrozenTask& task, img::crx_task_entry& extra);

}  // namespace crx
