// What is true of single mappings and has no place in CRIU's mm image.
#pragma once

#include "agent-src/collect/memory_map.hpp"
#include "agent-src/frozen_task.hpp"
#include "common/image/crx.pb.h"

namespace crx {

// Adds an entry for every mapping that has something to tell: what `map` knows (names, seals, locking on fault) and its
// memory policy (get_mempolicy(2) in the task). The task is frozen, with its arena.
void add_vma_attributes(FrozenTask& task, const MemoryMap& map, img::crx_task_entry& extra);

}  // namespace crx
