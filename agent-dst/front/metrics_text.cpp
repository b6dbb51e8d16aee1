#include "agent-dst/front/metrics_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "agent-dst/front/agent_health.hpp"
#include "agent-dst/front/totals.hpp"
#include "common/base/clock.hpp"
#include "common/base/page.hpp"
#include "common/base/version.hpp"

namespace crx::front {
namespace {

double seconds(uint64_t us) {
  return static_cast<double>(us) / 1e6;
}

class MetricsText {
 public:
  void family(std::string_view name, std::string_view type, std::string_view help) {
    name_ = name;
    text_ += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
  }
  template <typename Value>
  void sample(Value value, std::string_view suffix = {}, std::string_view labels = {}) {
    text_ += fmt::format("{}{}{} {}\n", name_, suffix, labels, value);
  }
  template <typename Value>
  void single(std::string_view name, std::string_view type, std::string_view help, Value value) {
    family(name, type, help);
    sample(value);
  }
  // The buckets of a family are cumulative in the text.
  template <std::size_t Bounds>
  void histogram(const std::array<uint64_t, Bounds>& bounds, const std::array<uint64_t, Bounds + 1>& buckets,
                 uint64_t sum_us) {
    uint64_t below = 0;
    for (std::size_t i = 0; i < buckets.size(); ++i) {
      below += buckets.at(i);
      const std::string bound = i < Bounds ? fmt::format("{}", seconds(bounds.at(i))) : "+Inf";
      sample(below, "_bucket", fmt::format("{{le=\"{}\"}}", bound));
    }
    sample(seconds(sum_us), "_sum");
    sample(below, "_count");
  }
  std::string take() { return std::move(text_); }

 private:
  std::string name_, text_;
};

// The names that Prometheus' own client libraries use; of the supervisor.
void process_metrics(const ipc::AgentCounters& counters, MetricsText& out) {
  out.single("process_cpu_seconds_total", "counter", "User and system CPU time of the supervisor.",
             seconds(of(counters.cpu_us)));
  out.single("process_resident_memory_bytes", "gauge", "Resident memory of the supervisor.",
             of(counters.resident_bytes));
  out.single("process_virtual_memory_bytes", "gauge", "Virtual memory of the supervisor.", of(counters.virtual_bytes));
  out.single("process_open_fds", "gauge", "Open descriptors of the supervisor.", of(counters.open_descriptors));
  out.single("process_max_fds", "gauge", "Limit of open descriptors of the supervisor.", of(counters.max_descriptors));
  out.single("process_start_time_seconds", "gauge", "When the supervisor was started.", of(counters.started_s));
}

}  // namespace

std::string metrics_text(const ipc::AgentCounters& counters, const std::vector<ipc::SessionFigures>& open) {
  const Totals totals(counters, open);
  MetricsText out;
  out.family("crx_build_info", "gauge", "The version of crx-agent.");
  out.sample(1, {}, fmt::format("{{version=\"{}\"}}", version()));
  out.single("crx_start_time_seconds", "gauge", "When the agent was started.", of(counters.started_s));
  out.family("crx_sessions_total", "counter", "Ended sessions, by outcome.");
  out.sample(of(counters.committed), {}, "{outcome=\"committed\"}");
  out.sample(of(counters.failed), {}, "{outcome=\"failed\"}");
  out.sample(of(counters.refused), {}, "{outcome=\"refused\"}");
  out.sample(of(counters.in_doubt), {}, "{outcome=\"in_doubt\"}");
  out.sample(of(counters.checked), {}, "{outcome=\"checked\"}");
  out.sample(of(counters.stored), {}, "{outcome=\"stored\"}");
  out.family("crx_refusals_total", "counter", "Sessions that were refused, by reason.");
  for (std::size_t i = 0; i < ipc::kRefusals.size(); ++i)
    out.sample(of(counters.refusals.at(i)), {}, fmt::format("{{reason=\"{}\"}}", ipc::kRefusals.at(i)));
  out.single("crx_sessions_open", "gauge", "Sessions whose engine is running.", of(counters.open_sessions));
  out.single("crx_vessels_warm", "gauge", "Processes that are being received.", warm_vessels(open));
  out.single("crx_processes_moved_total", "counter", "Processes that were moved here.", totals.moved_processes);
  out.single("crx_trees_running", "gauge", "Trees that were moved here whose root has not ended.",
             of(counters.running_roots));
  out.single("crx_received_wire_bytes_total", "counter", "Bytes received from sources, without TLS.",
             totals.wire_bytes);
  out.single("crx_received_raw_bytes_total", "counter", "Bytes of memory that the received pages represent.",
             totals.pages() * kPageSize);
  out.family("crx_received_pages_total", "counter", "Pages received.");
  out.sample(totals.content_pages, {}, "{content=\"data\"}");
  out.sample(totals.zero_pages, {}, "{content=\"zero\"}");
  out.family("crx_downtime_seconds", "histogram", "Downtime of the trees that were moved here, as measured here.");
  out.histogram(ipc::kDowntimeBounds, totals.downtime_buckets, totals.downtime_us);
  out.family("crx_move_duration_seconds", "histogram",
             "Time of the sessions that moved a tree here, from the first message until the engine ended.");
  out.histogram(ipc::kDurationBounds, values_of(counters.duration_buckets.buckets), of(counters.duration_us));
  out.single("crx_last_downtime_seconds", "gauge", "Downtime of the last tree that was moved here.",
             seconds(totals.last_downtime_us));
  out.single("crx_stored_sets", "gauge", "Image sets in the store.", of(counters.stored_sets));
  out.single("crx_connections_total", "counter", "Connections accepted.", of(counters.connections));
  out.single("crx_connections_refused_total", "counter", "Connections that did not get a session.",
             of(counters.connections_refused));
  out.single("crx_front_starts_total", "counter", "Starts of the process that serves the network.",
             of(counters.front_starts));
  out.single("crx_healthy", "gauge", "Whether /healthz says that all is well.",
             health_problems(counters, monotonic_us() / 1000).empty() ? 1 : 0);
  out.single("crx_store_free_bytes", "gauge", "Free space in the file system of the store.",
             of(counters.store_free_bytes));
  process_metrics(counters, out);
  return out.take();
}

}  // namespace crx::front
