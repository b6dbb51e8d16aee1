// The agent's figures as text, for Prometheus and for a browser.
#pragma once

#include <string>
#include <vector>

#include "agent-dst/front/session_figures.hpp"
#include "agent-dst/ipc/agent_counters.hpp"

namespace crx::front {

// Prometheus' text format, version 0.0.4.
std::string metrics_text(const ipc::AgentCounters& counters, const std::vector<SessionFigures>& open);
// A self-contained HTML page without scripts. Text from peers is escaped.
std::string status_html(const ipc::AgentCounters& counters, const std::vector<SessionFigures>& open);

}  // namespace crx::front
