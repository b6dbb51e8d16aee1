// The trees, sessions, sets and health of the agent, as a page for a browser and as JSON for scripts.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agent-dst/ipc/agent_board.hpp"
#include "agent-dst/ipc/agent_counters.hpp"
#include "agent-dst/ipc/session_figures.hpp"

namespace crx::front {

// Everything that the page shows; the references must outlive it.
struct StatusView {
  const ipc::AgentCounters& counters;
  // The sessions whose figures are not among the counters yet; their pages, bytes and downtimes are added.
  const std::vector<ipc::SessionFigures>& open;
  const ipc::BoardLists& lists;
  int64_t now_ns = 0;  // CLOCK_REALTIME
  int64_t now_ms = 0;  // CLOCK_MONOTONIC
};

// A self-contained HTML page without scripts, which is loaded again every 5 s. Text from peers is escaped.
std::string status_html(const StatusView& view);
// The same as one JSON object; crx-agent(8) describes it. Bytes that are not UTF-8 are replaced.
std::string status_json(const StatusView& view);

}  // namespace crx::front
