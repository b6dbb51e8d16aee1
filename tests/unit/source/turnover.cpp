#include <doctest/doctest.h>

#include <vector>

#include "agent-src/tree/process_churn.hpp"

namespace crx {
namespace {

TreeTask task(pid_t pid, uint64_t child_faults = 0, uint64_t start_ticks = 1) {
  TreeTask out;
  out.pid = pid;
  out.child_faults = child_faults;
  out.start_ticks = start_ticks;
  return out;
}

TEST_CASE("turnover: nobody came or went") {
  Turnover turnover;
  CHECK_FALSE(turnover.look({task(1, 7), task(2)}, "2"));
  CHECK_FALSE(turnover.look({task(1, 7), task(2)}, "2"));
  CHECK_FALSE(turnover.look({task(1, 7), task(2)}, "9"));  // born elsewhere
}

TEST_CASE("turnover: one comes, goes, becomes a zombie, or another gets its number") {
  for (const auto& then : {std::vector{task(1)}, std::vector{task(1), task(2), task(3)}, std::vector{task(1), task(2, 0, 2)}}) {
    Turnover turnover;
    CHECK_FALSE(turnover.look({task(1), task(2)}, "2"));
    CHECK(turnover.look(then, "2"));
    CHECK_FALSE(turnover.look(then, "2"));
  }
  Turnover turnover;
  TreeTask zombie = task(2);
  CHECK_FALSE(turnover.look({task(1), zombie}, "2"));
  zombie.dead = true;
  CHECK(turnover.look({task(1), zombie}, "2"));
  CHECK_FALSE(turnover.look({task(1), zombie}, "2"));
}

TEST_CASE("turnover: a child that was never seen is known by what its parent inherits, or by its number") {
  Turnover turnover;
  CHECK_FALSE(turnover.look({task(1, 7)}, "2"));
  CHECK(turnover.look({task(1, 8)}, "2"));
  TreeTask ignoring = task(1, 8);
  ignoring.ignores_children = true;
  CHECK_FALSE(turnover.look({ignoring}, "2"));
  CHECK_FALSE(turnover.births());
  CHECK(turnover.look({ignoring}, "3"));
  CHECK(turnover.births());
}

TEST_CASE("turnover: who is not followed yet comes again") {
  Turnover turnover;
  CHECK_FALSE(turnover.look({task(1), task(2)}, "2"));
  turnover.forget(2);
  CHECK(turnover.look({task(1), task(2)}, "2"));
}

}  // namespace
}  // namespace crx
