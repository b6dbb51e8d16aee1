#include "agent-dst/front/status_pages.hpp"

#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "common/base/page.hpp"
#include "common/base/size.hpp"
#include "common/base/version.hpp"

namespace crx::front {
namespace {

uint64_t of(const ipc::AgentCounters::Count& count) {
  return count.load(std::memory_order_relaxed);
}

double seconds(uint64_t us) {
  return static_cast<double>(us) / 1e6;
}

// The number of vessels of sessions that have not been resumed yet.
unsigned warm_vessels(const std::vector<ipc::SessionFigures>& open) {
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
        last_downtime_us(of(counters.last_downtime_us)) {
    for (const ipc::SessionFigures& session : open) {
      wire_bytes += session.wire_bytes;
      content_pages += session.content_pages;
      zero_pages += session.zero_pages;
      if (session.downtime_us < 0) continue;
      moved_processes += session.processes;
      ++downtimes;
      last_downtime_us = static_cast<uint64_t>(session.downtime_us);
      downtime_us += last_downtime_us;
    }
  }
  uint64_t pages() const { return content_pages + zero_pages; }

  uint64_t wire_bytes, content_pages, zero_pages, moved_processes, downtimes, downtime_us, last_downtime_us;
};

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
  std::string take() { return std::move(text_); }

 private:
  std::string name_, text_;
};

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += static_cast<unsigned char>(c) < ' ' ? '?' : c;
    }
  }
  return out;
}

std::string row(std::string_view name, std::string_view value) {
  return fmt::format("<tr><th>{}</th><td>{}</td></tr>\n", name, value);
}

constexpr char kHead[] =
    "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>crx-agent</title>\n"
    "<meta http-equiv=\"refresh\" content=\"5\">\n"
    "<style>body{font:15px sans-serif;margin:2em}table{border-collapse:collapse;margin:1em 0}"
    "th,td{text-align:left;padding:.25em 1em .25em 0;border-bottom:1px solid #ccc}</style></head>\n<body>\n";

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
  out.family("crx_downtime_seconds", "summary", "Downtime of the trees that were moved here, as measured here.");
  out.sample(seconds(totals.downtime_us), "_sum");
  out.sample(totals.downtimes, "_count");
  out.single("crx_last_downtime_seconds", "gauge", "Downtime of the last tree that was moved here.",
             seconds(totals.last_downtime_us));
  out.single("crx_stored_sets", "gauge", "Image sets in the store.", of(counters.stored_sets));
  out.single("crx_connections_total", "counter", "Connections accepted.", of(counters.connections));
  out.single("crx_connections_refused_total", "counter", "Connections that did not get a session.",
             of(counters.connections_refused));
  out.single("crx_front_starts_total", "counter", "Starts of the process that serves the network.",
             of(counters.front_starts));
  return out.take();
}

std::string status_html(const ipc::AgentCounters& counters, const std::vector<ipc::SessionFigures>& open) {
  const uint64_t now = static_cast<uint64_t>(::time(nullptr));
  const Totals totals(counters, open);
  std::string out = kHead;
  out += fmt::format("<h1>crx-agent {}</h1>\n<table>\n", version());
  out += row("up", fmt::format("{} s", now - std::min(now, of(counters.started_s))));
  out += row("sessions", fmt::format("{} committed, {} failed, {} refused, {} in doubt, {} checked, {} stored",
                                     of(counters.committed), of(counters.failed), of(counters.refused),
                                     of(counters.in_doubt), of(counters.checked), of(counters.stored)));
  out += row("processes moved here", fmt::format("{}", totals.moved_processes));
  out += row("trees running", fmt::format("{}", of(counters.running_roots)));
  out += row("received", fmt::format("{} for {} of memory ({} pages)", format_size(totals.wire_bytes),
                                     format_size(totals.pages() * kPageSize), totals.pages()));
  if (totals.downtimes > 0) {
    out += row("downtime", fmt::format("{:.1f} ms last, {:.1f} ms on average", seconds(totals.last_downtime_us) * 1e3,
                                       seconds(totals.downtime_us / totals.downtimes) * 1e3));
  }
  out += row("image sets", fmt::format("{}", of(counters.stored_sets)));
  out += "</table>\n<h2>Open sessions</h2>\n";
  if (open.empty()) out += "<p>none</p>\n";
  if (!open.empty()) {
    out +=
        "<table>\n<tr><th>session</th><th>from</th><th>state</th><th>for</th><th>processes</th><th>received</th></"
        "tr>\n";
  }
  for (const ipc::SessionFigures& session : open) {
    out += fmt::format("<tr><td>{}</td><td>{}</td><td>{}</td><td>{:.1f} s</td><td>{}</td><td>{}</td></tr>\n",
                       escaped(session.id), escaped(session.peer), session.state,
                       static_cast<double>(session.age_us) / 1e6, session.processes, format_size(session.wire_bytes));
  }
  if (!open.empty()) out += "</table>\n";
  return out + "<p><a href=\"/metrics\">metrics</a></p>\n</body></html>\n";
}

}  // namespace crx::front
