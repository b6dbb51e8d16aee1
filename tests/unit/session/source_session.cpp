#include "common/session/source_session.hpp"

#include <doctest/doctest.h>

namespace crx {
namespace {

JournalRecord record(JournalState state, const std::string& detail) {
  return {state, 0, {}, detail};
}

TEST_CASE("source session: the last description in the journal counts") {
  SourceSession session{4711, "a \"name\"", {"host-b", 7077}, "/etc/crx/tls", "/etc/crx/list.pem", {}, std::nullopt};
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

TEST_CASE("source session: the journal of a destination has none") {
  CHECK_FALSE(find_source_session({}));
  CHECK_FALSE(find_source_session({record(JournalState::open, "from h1")}));
  CHECK_FALSE(find_source_session({record(JournalState::open, "{\"pid\": \"x\", \"to\": 3}")}));
}

}  // namespace
}  // namespace crx
