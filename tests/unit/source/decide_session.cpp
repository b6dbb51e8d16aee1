#include "agent-src/recover/decide_session.hpp"

#include <doctest/doctest.h>

namespace crx {
namespace {

struct Rule {
  JournalState here;
  const char* there;
  bool may_adopt, may_discard;
};

TEST_CASE("decisions by hand: refused where the journals show two copies or none") {
  using enum JournalState;
  constexpr Rule kRules[] = {
      {open, "", true, false},        {go, "RESUMED", false, true},   {go, "NEVER", true, false},
      {go, "LOST", true, false},      {go, "OPEN", false, false},     {go, "open", false, false},
      {go, "PREPARED", false, false}, {go, "RESUMING", false, false}, {go, "unknown", true, true},
      {go, "", true, true},           {done, "", false, true},        {aborted, "", true, false},
  };
  for (const Rule& rule : kRules) {
    CAPTURE(rule.there);
    CAPTURE(to_string(rule.here));
    CHECK(find_problem(Decision::adopt, rule.here, true, rule.there, "id").has_value() == !rule.may_adopt);
    CHECK(find_problem(Decision::discard, rule.here, true, rule.there, "id").has_value() == !rule.may_discard);
  }
}

TEST_CASE("decisions by hand: there must be an original to adopt") {
  CHECK(find_problem(Decision::adopt, JournalState::go, false, "", "id"));
  CHECK(find_problem(Decision::adopt, JournalState::go, false, "NEVER", "id"));
  CHECK_FALSE(find_problem(Decision::discard, JournalState::go, false, "", "id"));
  CHECK_FALSE(find_problem(Decision::discard, JournalState::go, false, "NEVER", "id"));
}

}  // namespace
}  // namespace crx
