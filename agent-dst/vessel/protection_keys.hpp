// Memory protection keys (pkeys(7)).
#pragma once

#include <vector>

#include "agent-dst/vessel/layout.hpp"
#include "agent-dst/vessel/vessel_calls.hpp"
#include "common/image/schema/crx.pb.h"

namespace crx {

// Allocates the keys that the process had, and gives them to its mappings. vmas: all mappings of the vessel. Throws
// Error(unsupported) where a key cannot be had, Error(corrupt_image) for keys that cannot be.
void restore_protection_keys(VesselCalls& calls, const std::vector<Vma>& vmas, const img::crx_task_entry& extra);

}  // namespace crx
