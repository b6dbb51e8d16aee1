#include <nlohmann/json.hpp>

#include "agent-dst/front/agent_health.hpp"
#include "agent-dst/front/status_page.hpp"
#include "agent-dst/front/totals.hpp"
#include "common/base/page.hpp"
#include "common/base/version.hpp"

namespace crx::front {
namespace {

using nlohmann::ordered_json;

// Seconds since 1970 with microseconds, as in the events of --json.
double epoch_s(int64_t realtime_ns) {
  return static_cast<double>(realtime_ns / 1000) / 1e6;
}

ordered_json trees_json(const ipc::BoardLists& lists) {
  ordered_json all = ordered_json::array();
  for (uint32_t i = 0; i < lists.shown_trees; ++i) {
    const ipc::BoardTree& tree = lists.trees.at(i);
    all.push_back({{"session", tree.session.get()},
                   {"pid", tree.pid},
                   {"own_pids", tree.own_namespace != 0},
                   {"comm", tree.comm.get()},
                   {"peer", tree.peer.get()},
                   {"since", epoch_s(tree.since_ns)},
                   {"processes", tree.processes},
                   {"memory_bytes", tree.memory_bytes}});
  }
  return all;
}

ordered_json open_json(const std::vector<ipc::SessionFigures>& open) {
  ordered_json all = ordered_json::array();
  for (const ipc::SessionFigures& session : open) {
    all.push_back({{"session", session.id},
                   {"peer", session.peer},
                   {"state", session.state},
                   {"age_us", session.age_us},
                   {"processes", session.processes},
                   {"bytes_wire", session.wire_bytes},
                   {"bytes_per_second", session.bytes_per_second},
                   {"pages", session.content_pages + session.zero_pages}});
  }
  return all;
}

ordered_json history_json(const ipc::BoardLists& lists) {
  ordered_json all = ordered_json::array();
  for (uint32_t i = 0; i < lists.shown_ended; ++i) {
    const ipc::BoardSession& session = lists.ended.at(i);
    ordered_json shown = {{"session", session.session.get()},   {"peer", session.peer.get()},
                          {"comm", session.comm.get()},         {"purpose", session.purpose.get()},
                          {"outcome", session.outcome.get()},   {"detail", session.detail.get()},
                          {"ended", epoch_s(session.ended_ns)}, {"processes", session.processes},
                          {"bytes_wire", session.wire_bytes},   {"pages", session.pages}};
    if (session.duration_us >= 0) shown["duration_us"] = session.duration_us;
    if (session.downtime_us >= 0) shown["downtime_us"] = session.downtime_us;
    all.push_back(std::move(shown));
  }
  return all;
}

ordered_json sets_json(const ipc::BoardLists& lists) {
  ordered_json all = ordered_json::array();
  for (uint32_t i = 0; i < lists.shown_sets; ++i) {
    const ipc::BoardSet& set = lists.sets.at(i);
    all.push_back({{"name", set.name.get()}, {"bytes", set.bytes}, {"modified", epoch_s(set.modified_ns)}});
  }
  return all;
}

}  // namespace

std::string status_json(const StatusView& view) {
  const ipc::AgentCounters& counters = view.counters;
  const Totals totals(counters, view.open);
  const std::vector<std::string> problems = health_problems(counters, view.now_ms);
  ordered_json refusals;
  for (std::size_t i = 0; i < ipc::kRefusals.size(); ++i) refusals[ipc::kRefusals.at(i)] = of(counters.refusals.at(i));
  ordered_json out = {{"version", version()},
                      {"host", view.lists.host.get()},
                      {"time", epoch_s(view.now_ns)},
                      {"started", of(counters.started_s)},
                      {"healthy", problems.empty()},
                      {"problems", problems},
                      {"sessions",
                       {{"open", of(counters.open_sessions)},
                        {"committed", of(counters.committed)},
                        {"failed", of(counters.failed)},
                        {"refused", of(counters.refused)},
                        {"in_doubt", of(counters.in_doubt)},
                        {"checked", of(counters.checked)},
                        {"stored", of(counters.stored)}}},
                      {"refusals", refusals},
                      {"processes_moved", totals.moved_processes},
                      {"bytes_wire", totals.wire_bytes},
                      {"bytes_raw", totals.pages() * kPageSize},
                      {"downtimes", totals.downtimes},
                      {"downtime_us", totals.downtime_us},
                      {"last_downtime_us", totals.last_downtime_us},
                      {"store_free_bytes", of(counters.store_free_bytes)},
                      {"store_total_bytes", of(counters.store_total_bytes)},
                      {"trees_running", view.lists.all_trees},
                      {"sets_stored", view.lists.all_sets},
                      {"trees", trees_json(view.lists)},
                      {"open", open_json(view.open)},
                      {"history", history_json(view.lists)},
                      {"sets", sets_json(view.lists)}};
  return out.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace crx::front
