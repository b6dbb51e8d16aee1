// The credentials of a thread in the images, as policies and files take them.
#pragma once

#include <sys/types.h>

#include "agent-dst/policy/policy.hpp"
#include "common/image/schema/core.pb.h"

namespace crx {

// core: of a thread of process `pid`. Throws Error(corrupt_image) for one without credentials, which would keep the
// agent's.
TaskCredentials task_credentials(const img::core_entry& core, pid_t pid);

}  // namespace crx
