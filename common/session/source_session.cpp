#include "common/session/source_session.hpp"

#include <nlohmann/json.hpp>

namespace crx {
namespace {

std::optional<SourceSession> parse_source_session(const std::string& detail) {
  const auto json = nlohmann::json::parse(detail, nullptr, false);
  if (!json.is_object()) return std::nullopt;
  const auto text = [&json](const char* key) {
    const auto found = json.find(key);
    return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  const auto pid = json.find("pid");
  const std::optional<Endpoint> to = parse_endpoint(text("to"));
  if (!to || pid == json.end() || !pid->is_number_integer()) return std::nullopt;
  SourceSession session{pid->get<pid_t>(), text("comm"),  *to,         text("tls_dir"),
                        text("tls_crl"),   text("group"), std::nullopt};
  if (const std::string unit = text("unit"); !unit.empty()) {
    session.unit.emplace();
    session.unit->name = unit;
    session.unit->user = json.contains("user");
  }
  return session;
}

}  // namespace

std::string to_detail(const SourceSession& session) {
  nlohmann::ordered_json json = {{"pid", session.pid}, {"comm", session.comm}, {"to", session.to.text()}};
  json["tls_dir"] = session.tls_dir;
  if (!session.tls_crl.empty()) json["tls_crl"] = session.tls_crl;
  if (!session.group.empty()) json["group"] = session.group;
  if (session.unit) json["unit"] = session.unit->name;
  if (session.unit && session.unit->user) json["user"] = true;
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

std::optional<SourceSession> find_source_session(const std::vector<JournalRecord>& records) {
  for (auto record = records.rbegin(); record != records.rend(); ++record) {
    if (record->state != JournalState::open) continue;
    if (auto session = parse_source_session(record->detail)) return session;
  }
  return std::nullopt;
}

}  // namespace crx
