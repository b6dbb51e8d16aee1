#include "common/session/held_locks.hpp"

#include <nlohmann/json.hpp>

namespace crx {
namespace {

constexpr std::size_t kMostRecords = 32;
constexpr std::size_t kMembers = 6;
constexpr char kLocksKey[] = "locks";

nlohmann::json to_json(const HeldLock& lock) {
  return {lock.pid, lock.fd, lock.kind, lock.type, lock.start, lock.len};
}

}  // namespace

std::vector<std::string> to_details(const std::vector<HeldLock>& locks) {
  std::vector<std::string> details;
  nlohmann::json some = nlohmann::json::array();
  for (const HeldLock& lock : locks) {
    some.push_back(to_json(lock));
    std::string detail = nlohmann::json({{kLocksKey, some}}).dump();
    if (some.size() == 1) {
      details.push_back(std::move(detail));
    } else if (detail.size() <= Journal::kMaxDetail) {
      details.back() = std::move(detail);
    } else {
      some = nlohmann::json::array({to_json(lock)});
      details.push_back(nlohmann::json({{kLocksKey, some}}).dump());
    }
  }
  if (details.size() > kMostRecords) return {};
  return details;
}

std::vector<HeldLock> find_held_locks(const std::vector<JournalRecord>& records) {
  std::vector<HeldLock> locks;
  for (const JournalRecord& record : records) {
    if (record.state != JournalState::open || !record.detail.starts_with("{\"locks\"")) continue;
    const auto json = nlohmann::json::parse(record.detail, nullptr, false);
    if (!json.is_object() || !json[kLocksKey].is_array()) continue;
    for (const auto& each : json[kLocksKey]) {
      if (!each.is_array() || each.size() != kMembers) continue;
      locks.push_back({each[0].get<pid_t>(), each[1].get<uint32_t>(), each[2].get<uint32_t>(), each[3].get<uint32_t>(),
                       each[4].get<int64_t>(), each[5].get<int64_t>()});
    }
  }
  return locks;
}

}  // namespace crx
