// Whether the agent works, for /healthz.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agent-dst/ipc/agent_counters.hpp"

namespace crx::front {

// Returns a sentence for each thing that keeps the agent from its work; empty if all is well. now_ms: CLOCK_MONOTONIC.
std::vector<std::string> health_problems(const ipc::AgentCounters& counters, int64_t now_ms);

}  // namespace crx::front
