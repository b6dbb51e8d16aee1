// Memory protection keys (pkeys(7)).
#pragma once

#include "agent-dst/vessel/vessel_state.hpp"
#include "common/image/schema/crx.pb.h"

namespace crx {

// Allocates the keys that the process had, and gives them to its mappings. The arena is free. Throws Error(unsupported)
// where a key cannot be had.
void restore_protection_keys(VesselState& state, const img::crx_task_entry& extra);

}  // namespace crx
