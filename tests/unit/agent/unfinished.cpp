#include "agent-dst/supervisor/unfinished.hpp"

#include <doctest/doctest.h>

#include "common/base/journal.hpp"
#include "tests/unit/certificates.hpp"

namespace crx::supervisor {
namespace {

using test::TempDir;

TEST_CASE("unfinished: a journal that was seen before its first record is looked at again") {
  const TempDir dir;
  AgentOptions options;
  options.store = options.state = dir.path();
  int asked = 0;
  SourceRecovery recovery;
  recovery.is_left = [&](const std::string&, const std::string&) {
    ++asked;
    return false;
  };
  sigset_t mask;
  sigemptyset(&mask);
  Unfinished unfinished(options, recovery, mask);
  const auto look = [&] {
    unfinished.look([](const std::string&) { return false; }, [](const std::string&, const Verdict&) {});
  };
  Journal journal = Journal::open(dir.path(), make_session_id());
  look();
  CHECK(asked == 0);
  journal.append(JournalState::open, R"({"pid":7,"to":"h2:7077"})");
  look();
  CHECK(asked == 1);
  journal.append(JournalState::aborted, "a test");
  look();
  CHECK(asked == 1);
}

}  // namespace
}  // namespace crx::supervisor
