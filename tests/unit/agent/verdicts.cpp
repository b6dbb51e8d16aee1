#include "agent-dst/supervisor/verdicts.hpp"

#include <doctest/doctest.h>

#include <cstdlib>

#include "common/base/journal.hpp"
#include "common/session/decided_tree.hpp"
#include "tests/unit/certificates.hpp"

namespace crx::supervisor {
namespace {

using test::TempDir;

TEST_CASE("verdicts: a question decides a session that no engine serves") {
  const TempDir dir;
  const std::string id = make_session_id();
  Journal::open(dir.path(), id).append(JournalState::open, "from h1");
  CHECK(settle(dir.path(), id, "a test").state == "NEVER");
  CHECK(read_journal(dir.path(), id).back().state == JournalState::never);
}

TEST_CASE("verdicts: the journal of a source is left alone, whoever asks about it") {
  const TempDir dir;
  const std::string id = make_session_id();
  Journal::open(dir.path(), id).append(JournalState::open, R"({"pid":7,"to":"h2:7077"})");
  CHECK(settle(dir.path(), id, "a test").state == "unknown");
  CHECK(settle_all(dir.path()).empty());
  CHECK(read_journal(dir.path(), id).back().state == JournalState::open);
}

TEST_CASE("verdicts: a decided tree that has ended before it ran is lost, and one that ran is not") {
  const TempDir dir;
  const DecidedTree tree{7, 2, dir.path() + "/no-such-group", false, false};
  for (const bool resumed : {false, true}) {
    const std::string id = make_session_id();
    Journal journal = Journal::open(dir.path(), id);
    journal.append(JournalState::open, "from h1");
    journal.append(JournalState::prepared);
    journal.append(JournalState::resuming, to_detail(tree));
    if (resumed) journal.append(JournalState::resumed, to_detail(tree));
    const Journal closed = std::move(journal);
    CHECK(settle(dir.path(), id, "in use").state == (resumed ? "RESUMED" : "RESUMING"));
  }
  CHECK(settle_all(dir.path()).empty());
  std::size_t lost = 0;
  for (const std::string& id : list_journals(dir.path())) lost += read_verdict(dir.path(), id).state == "LOST";
  CHECK(lost == 1);
}

TEST_CASE("verdicts: NEVER and LOST hold although they cannot be written, and are written later") {
  const TempDir dir;
  const DecidedTree tree{7, 2, dir.path() + "/no-such-group", false, false};
  for (const bool decided : {false, true}) {
    const std::string id = make_session_id();
    {
      Journal journal = Journal::open(dir.path(), id);
      journal.append(JournalState::open, "from h1");
      journal.append(JournalState::prepared);
      if (decided) journal.append(JournalState::resuming, to_detail(tree));
    }
    const std::string wanted = decided ? "LOST" : "NEVER";
    ::setenv("CRX_FAULT_POINT", "destination_settlement=error", 1);
    const Verdict verdict = settle(dir.path(), id, "a test");
    ::unsetenv("CRX_FAULT_POINT");
    CHECK(verdict.state == wanted);
    CHECK(is_unsettled(verdict));
    CHECK(read_verdict(dir.path(), id).state == (decided ? "RESUMING" : "PREPARED"));
    CHECK_FALSE(is_unsettled(settle(dir.path(), id, "a test")));
    CHECK(read_verdict(dir.path(), id).state == wanted);
  }
}

}  // namespace
}  // namespace crx::supervisor
