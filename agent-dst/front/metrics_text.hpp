// The agent's figures for Prometheus.
#pragma once

#include <string>
#include <vector>

#include "agent-dst/ipc/agent_counters.hpp"
#include "agent-dst/ipc/session_figures.hpp"

namespace crx::front {

// Prometheus' text format, version 0.0.4. open: the sessions whose figures are not among the counters yet; their pages,
// bytes and downtimes are added.
std::string metrics_text(const ipc::AgentCounters& counters, const std::vector<ipc::SessionFigures>& open);

}  // namespace crx::front
