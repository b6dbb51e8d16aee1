#include "common/session/source_session.hpp"

#include <cstdlib>
#include <nlohmann/json.hpp>

namespace crx {
namespace {

constexpr std::size_t kMostHomes = 20;  // records; a journal has room for some 60

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
  SourceSession session{
      pid->get<pid_t>(), text("comm"), *to, text("tls_dir"), text("tls_crl"), text("group"), {}, {}, {}};
  if (const std::string unit = text("unit"); !unit.empty()) {
    session.unit.emplace();
    session.unit->name = unit;
    session.unit->user = json.contains("user");
  }
  return session;
}

std::string dump(const nlohmann::ordered_json& json) {
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

void add_homes(const std::string& detail, std::map<pid_t, std::string>& homes) {
  if (!detail.starts_with("{\"homes\"")) return;
  const auto json = nlohmann::json::parse(detail, nullptr, false);
  if (!json.is_object() || !json["homes"].is_object()) return;
  for (const auto& [pid, path] : json["homes"].items()) {
    if (path.is_string()) homes[std::atoi(pid.c_str())] = path.get<std::string>();
  }
}

void add_thawed(const std::string& detail, std::vector<std::string>& groups) {
  if (!detail.starts_with("{\"thawed\"")) return;
  const auto json = nlohmann::json::parse(detail, nullptr, false);
  if (json.is_object() && json["thawed"].is_string()) groups.push_back(json["thawed"].get<std::string>());
}

}  // namespace

std::string to_detail(const SourceSession& session) {
  nlohmann::ordered_json json = {{"pid", session.pid}, {"comm", session.comm}, {"to", session.to.text()}};
  json["tls_dir"] = session.tls_dir;
  if (!session.tls_crl.empty()) json["tls_crl"] = session.tls_crl;
  if (!session.group.empty()) json["group"] = session.group;
  if (session.unit) json["unit"] = session.unit->name;
  if (session.unit && session.unit->user) json["user"] = true;
  return dump(json);
}

std::string thawed_detail(const std::string& group) {
  return dump({{"thawed", group}});
}

std::vector<std::string> to_details(const std::map<pid_t, std::string>& homes) {
  std::vector<std::string> details;
  auto next = homes.begin();
  while (next != homes.end() && details.size() < kMostHomes) {
    nlohmann::ordered_json some = nlohmann::ordered_json::object();
    std::string detail;
    for (; next != homes.end(); ++next) {
      some[std::to_string(next->first)] = next->second;
      std::string longer = dump({{"homes", some}});
      if (longer.size() > Journal::kMaxDetail) break;
      detail = std::move(longer);
    }
    if (detail.empty()) ++next;  // a path that does not fit; its process gets to the group above
    if (!detail.empty()) details.push_back(std::move(detail));
  }
  return details;
}

std::optional<SourceSession> find_source_session(const std::vector<JournalRecord>& records) {
  for (auto record = records.rbegin(); record != records.rend(); ++record) {
    if (record->state != JournalState::open) continue;
    auto session = parse_source_session(record->detail);
    if (!session) continue;
    for (const JournalRecord& each : records) {
      add_homes(each.detail, session->homes);
      add_thawed(each.detail, session->thawed);
    }
    return session;
  }
  return std::nullopt;
}

}  // namespace crx
