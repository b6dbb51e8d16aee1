// The agent's figures as text, for Prometheus and for a browser.
#pragma once

#include <string>
#include <vector>

#include "agent-dst/ipc/agent_counters.hpp"
#include "agent-dst/ipc/session_figures.hpp"

namespace crx::front {

// open: the sessions whose figures are not among the counters yet; their pages, bytes and downtimes are added.

// Prometheus' text format, version 0.0.4.
std::string metrics_text(const ipc::AgentCounters& counters, const std::vector<ipc::SessionFigures>& open);
// A self-contained HTML page without scripts. Text from peers is escaped.
std::string status_html(const ipc::AgentCounters& counters, const std::vector<ipc::SessionFigures>& open);

}  // namespace crx::front
