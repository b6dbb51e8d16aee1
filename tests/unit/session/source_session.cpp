#include "common/session/source_session.hpp"

#include <doctest/doctest.h>

#include "common/session/held_locks.hpp"

namespace crx {
namespace {

JournalRecord record(JournalState state, const std::string& detail) {
  return {state, 0, {}, detail};
}

TEST_CASE("source session: the last description in the journal counts") {
  SourceSession session;
  session.pid = 4711;
  session.comm = "a \"name\"";
  session.to = {"host-b", 7077};
  session.tls_dir = "/etc/crx/tls";
  session.tls_crl = "/etc/crx/list.pem";
  std::vector<JournalRecord> records = {record(JournalState::open, to_detail(session))};
  session.group = "/sys/fs/cgroup/crx-0123-src";
  session.unit.emplace();
  session.unit->name = "redis.service";
  session.unit->user = true;
  records.push_back(record(JournalState::open, to_detail(session)));
  records.push_back(record(JournalState::go, ""));
  const std::optional<SourceSession> found = find_source_session(records);
  REQUIRE(found);
  CHECK(found->pid == 4711);
  CHECK(found->comm == "a \"name\"");
  CHECK(found->to == Endpoint{"host-b", 7077});
  CHECK(found->tls_dir == "/etc/crx/tls");
  CHECK(found->tls_crl == "/etc/crx/list.pem");
  CHECK(found->group == "/sys/fs/cgroup/crx-0123-src");
  REQUIRE(found->unit);
  CHECK(found->unit->name == "redis.service");
  CHECK(found->unit->user);
}

TEST_CASE("source session: the homes of its processes lie in as many records as they need") {
  std::map<pid_t, std::string> homes;
  for (pid_t pid = 100; pid < 150; ++pid) homes[pid] = "/sys/fs/cgroup/" + std::string(100, 'x') + std::to_string(pid);
  std::vector<JournalRecord> records = {record(JournalState::open, R"({"pid":7,"to":"h2:7077"})")};
  for (const std::string& detail : to_details(homes)) {
    CHECK(detail.size() <= Journal::kMaxDetail);
    records.push_back(record(JournalState::open, detail));
  }
  CHECK(records.size() > 5);
  const std::optional<SourceSession> found = find_source_session(records);
  REQUIRE(found);
  CHECK(found->homes == homes);
  CHECK(to_details(std::map<pid_t, std::string>()).empty());
}

TEST_CASE("held locks: they are found again, and too many of them are left out") {
  std::vector<HeldLock> locks;
  for (uint32_t i = 0; i < 200; ++i) locks.push_back({4711, i, 1, 1, int64_t{1} << 40, i});
  std::vector<JournalRecord> records;
  for (const std::string& detail : to_details(locks)) {
    CHECK(detail.size() <= Journal::kMaxDetail);
    records.push_back(record(JournalState::open, detail));
  }
  HeldLock lease{4711, 5, 32, 1, 0, 0};
  lease.owner_type = 1;
  lease.owner = 4711;
  lease.signal = 34;
  locks.push_back(lease);
  records.push_back(record(JournalState::open, to_details({lease}).front()));
  CHECK(find_held_locks(records) == locks);
  CHECK_FALSE(find_source_session(records));
  for (const char* broken :
       {R"({"locks":[["a",1,1,1,0,0]]})", R"({"locks":[[1,1,1,1,0]]})", R"({"locks":{}})", R"({"locks")"})
    CHECK(find_held_locks({record(JournalState::open, broken)}).empty());
  locks.resize(5'000);
  CHECK(to_details(locks) == std::vector<std::string>{kReleasedLocks});
  CHECK(to_details(std::vector<HeldLock>()).empty());
}

TEST_CASE("source session: the journal of a destination has none") {
  CHECK_FALSE(find_source_session({}));
  CHECK_FALSE(find_source_session({record(JournalState::open, "from h1")}));
  CHECK_FALSE(find_source_session({record(JournalState::open, "{\"pid\": \"x\", \"to\": 3}")}));
}

}  // namespace
}  // namespace crx
