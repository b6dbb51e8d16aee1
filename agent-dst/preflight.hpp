// What a tree needs at the destination and does not find.
#pragma once

#include <vector>

#include "agent-dst/engine.hpp"
#include "wire/messages.pb.h"

namespace crx {

// Checks PIDs, memory, users and files against this host; one Finding each. Touches nothing.
std::vector<wire::Finding> check_preflight(const wire::Preflight& preflight, const wire::Hello& hello,
                                           const EngineOptions& options);

}  // namespace crx
