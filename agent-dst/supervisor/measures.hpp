// The figures of the supervisor and of its host for the metrics.
#pragma once

#include <string>

#include "agent-dst/ipc/agent_counters.hpp"

namespace crx::supervisor {

// Sets the figures of this process, the space in the store, and the time of this call. Takes well below a millisecond.
void measure_agent(const std::string& store, ipc::AgentCounters& counters) noexcept;

}  // namespace crx::supervisor
