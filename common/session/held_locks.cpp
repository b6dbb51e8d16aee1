#include "common/session/held_locks.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace crx {
namespace {

constexpr std::size_t kMostRecords = 16;
constexpr std::size_t kMembers = 6, kLeaseMembers = 9;
constexpr char kLocksKey[] = "locks";

nlohmann::json to_json(const HeldLock& lock) {
  nlohmann::json json = {lock.pid, lock.fd, lock.kind, lock.type, lock.start, lock.len};
  if (lock.owner_type == 0 && lock.owner == 0 && lock.signal == 0) return json;
  for (const int32_t notice : {lock.owner_type, lock.owner, lock.signal}) json.push_back(notice);
  return json;
}

bool is_lock(const nlohmann::json& json) {
  return json.is_array() && (json.size() == kMembers || json.size() == kLeaseMembers) &&
         std::all_of(json.begin(), json.end(), [](const nlohmann::json& number) { return number.is_number_integer(); });
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
  if (details.size() > kMostRecords) return {kReleasedLocks};
  return details;
}

std::vector<HeldLock> find_held_locks(const std::vector<JournalRecord>& records) {
  std::vector<HeldLock> locks;
  for (const JournalRecord& record : records) {
    if (record.state != JournalState::open || !record.detail.starts_with("{\"locks\"")) continue;
    const auto json = nlohmann::json::parse(record.detail, nullptr, false);
    if (!json.is_object() || !json[kLocksKey].is_array()) continue;
    for (const auto& each : json[kLocksKey]) {
      if (!is_lock(each)) continue;
      HeldLock& lock =
          locks.emplace_back(HeldLock{each[0].get<pid_t>(), each[1].get<uint32_t>(), each[2].get<uint32_t>(),
                                      each[3].get<uint32_t>(), each[4].get<int64_t>(), each[5].get<int64_t>()});
      if (each.size() == kMembers) continue;
      lock.owner_type = each[6].get<int32_t>();
      lock.owner = each[7].get<int32_t>();
      lock.signal = each[8].get<int32_t>();
    }
  }
  return locks;
}

}  // namespace crx
