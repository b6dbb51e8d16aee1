// Reading the counters of the agent, with the figures of open sessions added.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "agent-dst/ipc/agent_counters.hpp"
#include "agent-dst/ipc/session_figures.hpp"

namespace crx::front {

// The value of a counter.
inline uint64_t of(const ipc::AgentCounters::Count& count) {
  return count.load(std::memory_order_relaxed);
}

// The same for all of an array.
template <std::size_t N>
std::array<uint64_t, N> values_of(const std::array<ipc::AgentCounters::Count, N>& counts) {
  std::array<uint64_t, N> values{};
  for (std::size_t i = 0; i < N; ++i) values.at(i) = of(counts.at(i));
  return values;
}

// The number of vessels of sessions that have not been resumed yet.
inline unsigned warm_vessels(const std::vector<ipc::SessionFigures>& open) {
  unsigned count = 0;
  for (const ipc::SessionFigures& session : open) count += session.downtime_us < 0 ? session.processes : 0;
  return count;
}

// The sums over the sessions that have ended and those that are open.
struct Totals {
  Totals(const ipc::AgentCounters& counters, const std::vector<ipc::SessionFigures>& open)
      : wire_bytes(of(counters.wire_bytes)),
        content_pages(of(counters.content_pages)),
        zero_pages(of(counters.zero_pages)),
        moved_processes(of(counters.moved_processes)),
        downtimes(of(counters.downtimes)),
        downtime_us(of(counters.downtime_us)),
        last_downtime_us(of(counters.last_downtime_us)),
        downtime_buckets(values_of(counters.downtime_buckets.buckets)) {
    for (const ipc::SessionFigures& session : open) {
      wire_bytes += session.wire_bytes;
      content_pages += session.content_pages;
      zero_pages += session.zero_pages;
      if (session.downtime_us < 0) continue;
      moved_processes += session.processes;
      ++downtimes;
      last_downtime_us = static_cast<uint64_t>(session.downtime_us);
      downtime_us += last_downtime_us;
      const auto& bounds = ipc::kDowntimeBounds;
      const auto bucket = std::lower_bound(bounds.begin(), bounds.end(), last_downtime_us) - bounds.begin();
      ++downtime_buckets.at(static_cast<std::size_t>(bucket));
    }
  }
  uint64_t pages() const { return content_pages + zero_pages; }

  uint64_t wire_bytes, content_pages, zero_pages, moved_processes, downtimes, downtime_us, last_downtime_us;
  std::array<uint64_t, ipc::kDowntimeBounds.size() + 1> downtime_buckets;
};

}  // namespace crx::front
