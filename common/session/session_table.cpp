#include "common/session/session_table.hpp"

#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "common/base/log.hpp"

namespace crx {
namespace {

constexpr std::size_t kColumns = 9;
using Row = std::array<std::string, kColumns>;

std::string or_dash(const std::string& text) {
  return text.empty() ? "-" : printable(text);
}

std::string group_text(const SessionInfo& session) {
  return or_dash(session.group) + (session.is_frozen ? " (frozen)" : "");
}

std::string awaits_text(const SessionInfo& session) {
  if (!session.holder) return or_dash(session.awaits);
  return fmt::format("{} ({}, pid {}, works on it)", session.awaits, printable(session.holder->comm),
                     session.holder->pid);
}

Row row_of(const SessionInfo& session) {
  return {session.session,
          std::string(to_string(session.role)),
          session.state,
          session.since_ns == 0 ? "-" : utc(session.since_ns),
          session.pid == 0 ? "-" : std::to_string(session.pid),
          or_dash(session.comm),
          or_dash(session.peer),
          group_text(session),
          awaits_text(session)};
}

}  // namespace

std::string utc(int64_t realtime_ns) {
  const time_t seconds = realtime_ns / 1'000'000'000;
  tm parts{};
  ::gmtime_r(&seconds, &parts);
  std::array<char, 32> text{};
  ::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text.data();
}

std::string render_sessions(const std::vector<SessionInfo>& sessions) {
  std::vector<Row> rows = {{"SESSION", "ROLE", "STATE", "SINCE", "PID", "COMMAND", "PEER", "CGROUP", "AWAITS"}};
  std::transform(sessions.begin(), sessions.end(), std::back_inserter(rows), row_of);
  std::array<std::size_t, kColumns> widths{};
  for (const Row& row : rows) {
    for (std::size_t i = 0; i < kColumns; ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const Row& row : rows) {
    for (std::size_t i = 0; i + 1 < kColumns; ++i) text += fmt::format("{:{}}  ", row[i], widths[i]);
    text += row.back() + "\n";
  }
  return text;
}

std::string session_json(const SessionInfo& session) {
  nlohmann::ordered_json json = {{"event", "session"},
                                 {"session", session.session},
                                 {"role", to_string(session.role)},
                                 {"state", session.state},
                                 {"since", utc(session.since_ns)},
                                 {"began", utc(session.began_ns)},
                                 {"pid", session.pid},
                                 {"comm", session.comm},
                                 {"peer", session.peer},
                                 {"cgroup", session.group},
                                 {"frozen", session.is_frozen},
                                 {"finished", session.is_finished},
                                 {"awaits", session.awaits},
                                 {"detail", session.detail},
                                 {"journal", fmt::format("{}/journal/{}.log", session.dir, session.session)}};
  if (session.holder) json["holder"] = {{"pid", session.holder->pid}, {"comm", session.holder->comm}};
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

int print_sessions(const ListRequest& request) {
  std::vector<SessionInfo> sessions = list_sessions(request.dirs);
  if (!request.all) std::erase_if(sessions, [](const SessionInfo& session) { return session.is_finished; });
  if (request.json) {
    for (const SessionInfo& session : sessions) std::printf("%s\n", session_json(session).c_str());
  } else if (!sessions.empty()) {
    std::printf("%s", render_sessions(sessions).c_str());
  } else {
    std::fprintf(stderr, request.all ? "no session\n" : "no unfinished session; --all shows the finished ones, too\n");
  }
  return 0;
}

}  // namespace crx
