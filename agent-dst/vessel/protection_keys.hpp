// Restores memory protection keys (pkeys(7)).
#pragma once

#include <vector>

#include "agent-dst/vessel/layout.hpp"
#include "agent-dst/vessel/vessel_calls.hpp"
#include "common/image/schema/crx.pb.h"

namespace crx {

// Allocates the keys that the process had in the vessel, and assigns them to its mappings (pkey_mprotect(2)). vmas: all
// mappings of the vessel. Throws Error(unsupported) where a key cannot be allocated, Error(corrupt_image) for invalid
// keys.
void restore_protection_keys(VesselCalls& calls, const std::vector<Vma>& vmas, const img::crx_task_entry& extra);

}  // namespace crx
