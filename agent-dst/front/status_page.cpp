#include "agent-dst/front/status_page.hpp"

#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <array>

#include "agent-dst/front/agent_health.hpp"
#include "agent-dst/front/totals.hpp"
#include "common/base/page.hpp"
#include "common/base/size.hpp"
#include "common/base/version.hpp"
#include "common/html/html.hpp"

namespace crx::front {
namespace {

constexpr int kRefreshS = 5;
constexpr std::size_t kShownId = 8;  // characters of a session's id; all of them are in the JSON form

std::string time_text(int64_t realtime_ns) {
  const time_t seconds = realtime_ns / 1'000'000'000;
  tm parts{};
  ::gmtime_r(&seconds, &parts);
  std::array<char, 32> text{};
  ::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S", &parts);
  return text.data();
}

std::string or_dash(std::string text) {
  return text.empty() ? "-" : text;
}

html::Tile number(std::string_view key, uint64_t value, std::string text, std::string caption) {
  return {"", key, std::to_string(value), std::move(text), std::move(caption)};
}

std::string tiles_of(const StatusView& view, bool is_healthy) {
  const ipc::AgentCounters& counters = view.counters;
  const Totals totals(counters, view.open);
  std::vector<html::Tile> all;
  all.push_back({is_healthy ? "good" : "bad", "healthy", is_healthy ? "true" : "false",
                 is_healthy ? "healthy" : "not healthy", "see below"});
  if (is_healthy) all.back().caption = "accepts and stores";
  all.push_back(number("trees_running", view.lists.all_trees, format_count(view.lists.all_trees),
                       view.lists.all_trees == 1 ? "tree runs here" : "trees run here"));
  all.push_back(number("committed", of(counters.committed), format_count(of(counters.committed)),
                       fmt::format("moved here; {} refused, {} failed, {} in doubt", of(counters.refused),
                                   of(counters.failed), of(counters.in_doubt))));
  if (totals.downtimes > 0) {
    const auto mean_us = static_cast<int64_t>(totals.downtime_us / totals.downtimes);
    all.push_back(number("last_downtime_us", totals.last_downtime_us,
                         html::exact_us(static_cast<int64_t>(totals.last_downtime_us)),
                         fmt::format("last downtime; on average {}", format_us(mean_us))));
  }
  all.push_back(number("bytes_wire", totals.wire_bytes, format_size(totals.wire_bytes),
                       fmt::format("received for {} of memory", format_size(totals.pages() * kPageSize))));
  all.push_back(number("store_free_bytes", of(counters.store_free_bytes), format_size(of(counters.store_free_bytes)),
                       fmt::format("free in the store, of {}", format_size(of(counters.store_total_bytes)))));
  return html::tiles(all);
}

std::string trees_html(const StatusView& view) {
  html::Table table("trees", {"program", "PID", "since (UTC)", "for", "from", "processes", "memory", "session"},
                    {2, 4, 7});
  const ipc::BoardLists& lists = view.lists;
  for (uint32_t i = 0; i < lists.shown_trees; ++i) {
    const ipc::BoardTree& tree = lists.trees.at(i);
    table.add({or_dash(tree.comm.get()), fmt::format("{}{}", tree.pid, tree.own_namespace != 0 ? " (own)" : ""),
               time_text(tree.since_ns), format_duration(std::max<int64_t>(view.now_ns - tree.since_ns, 0) / 1000),
               or_dash(tree.peer.get()), std::to_string(tree.processes), format_size(tree.memory_bytes),
               tree.session.get().substr(0, kShownId)});
  }
  std::string out = table.html("None.");
  if (lists.all_trees > lists.shown_trees)
    out += fmt::format("<p class=\"note\">and {} more</p>\n", lists.all_trees - lists.shown_trees);
  return out;
}

std::string open_html(const std::vector<ipc::SessionFigures>& open) {
  html::Table table("open", {"session", "from", "state", "for", "processes", "received", "rate"}, {1, 2});
  for (const ipc::SessionFigures& session : open) {
    table.add({session.id.substr(0, kShownId), session.peer, session.state, format_duration(session.age_us),
               std::to_string(session.processes), format_size(session.wire_bytes),
               format_rate(session.bytes_per_second, 1'000'000)});
  }
  return table.html("None.");
}

std::string history_html(const ipc::BoardLists& lists) {
  html::Table table("history",
                    {"ended (UTC)", "outcome", "program", "from", "downtime", "took", "received", "session", "why"},
                    {1, 2, 3, 7, 8});
  for (uint32_t i = 0; i < lists.shown_ended; ++i) {
    const ipc::BoardSession& session = lists.ended.at(i);
    table.add({time_text(session.ended_ns), session.outcome.get(), or_dash(session.comm.get()),
               or_dash(session.peer.get()), session.downtime_us >= 0 ? html::exact_us(session.downtime_us) : "-",
               session.duration_us >= 0 ? format_us(session.duration_us) : "-",
               session.wire_bytes > 0 ? format_size(session.wire_bytes) : "-",
               session.session.get().substr(0, kShownId), or_dash(session.detail.get())});
  }
  return table.html("None yet.");
}

std::string sets_html(const ipc::BoardLists& lists) {
  html::Table table("sets", {"set", "written (UTC)", "size"}, {1});
  for (uint32_t i = 0; i < lists.shown_sets; ++i) {
    const ipc::BoardSet& set = lists.sets.at(i);
    table.add({set.name.get(), time_text(set.modified_ns), format_size(set.bytes)});
  }
  std::string out = table.html("None.");
  if (lists.all_sets > lists.shown_sets)
    out += fmt::format("<p class=\"note\">and {} older ones</p>\n", lists.all_sets - lists.shown_sets);
  return out;
}

std::string problems_html(const std::vector<std::string>& problems) {
  std::string out = "<section class=\"bad\" id=\"problems\"><h2>Not healthy</h2>\n";
  for (const std::string& problem : problems) out += fmt::format("<p>{}</p>\n", html::escape(problem));
  return out + "</section>\n";
}

}  // namespace

std::string status_html(const StatusView& view) {
  const std::vector<std::string> problems = health_problems(view.counters, view.now_ms);
  const int64_t up_us = view.now_ns / 1000 - static_cast<int64_t>(of(view.counters.started_s)) * 1'000'000;
  const std::string title = "crx-agent on " + or_dash(view.lists.host.get());
  std::string out = html::begin_page(title, kRefreshS) + fmt::format("<h1>{}</h1>\n", html::escape(title));
  out += fmt::format(
      "<p class=\"sub\">{} UTC &middot; crx {} &middot; up for {} &middot; <a href=\"/status.json\">JSON</a> &middot; "
      "<a "
      "href=\"/metrics\">metrics</a></p>\n",
      time_text(view.now_ns), html::escape(version()), format_duration(std::max<int64_t>(up_us, 0)));
  if (!problems.empty()) out += problems_html(problems);
  out += tiles_of(view, problems.empty());
  out += html::section("Sessions in progress", open_html(view.open));
  out += html::section("Trees that run here", trees_html(view));
  out += html::section("The last sessions", history_html(view.lists));
  out += html::section("Sets in the store", sets_html(view.lists));
  return out + html::end_page();
}

}  // namespace crx::front
