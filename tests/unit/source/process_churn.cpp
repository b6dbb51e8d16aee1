#include <doctest/doctest.h>

#include <vector>

#include "agent-src/tree/process_churn.hpp"

namespace crx {
namespace {

TaskNode task(pid_t pid, uint64_t child_faults = 0, uint64_t start_ticks = 1) {
  TaskNode out;
  out.pid = pid;
  out.child_faults = child_faults;
  out.start_ticks = start_ticks;
  return out;
}

TEST_CASE("process churn: no process was forked or has ended") {
  ProcessChurn churn;
  CHECK_FALSE(churn.look({task(1, 7), task(2)}, "2"));
  CHECK_FALSE(churn.look({task(1, 7), task(2)}, "2"));
  CHECK_FALSE(churn.look({task(1, 7), task(2)}, "9"));  // forked elsewhere
}

TEST_CASE("process churn: one is forked, ends, becomes a zombie, or another gets its number") {
  for (const auto& then :
       {std::vector{task(1)}, std::vector{task(1), task(2), task(3)}, std::vector{task(1), task(2, 0, 2)}}) {
    ProcessChurn churn;
    CHECK_FALSE(churn.look({task(1), task(2)}, "2"));
    CHECK(churn.look(then, "2"));
    CHECK_FALSE(churn.look(then, "2"));
  }
  ProcessChurn churn;
  TaskNode zombie = task(2);
  CHECK_FALSE(churn.look({task(1), zombie}, "2"));
  zombie.dead = true;
  CHECK(churn.look({task(1), zombie}, "2"));
  CHECK_FALSE(churn.look({task(1), zombie}, "2"));
}

TEST_CASE("process churn: a child that was never seen is noticed by its parent's faults, or by its number") {
  ProcessChurn churn;
  CHECK_FALSE(churn.look({task(1, 7)}, "2"));
  CHECK(churn.look({task(1, 8)}, "2"));
  TaskNode ignoring = task(1, 8);
  ignoring.ignores_children = true;
  CHECK_FALSE(churn.look({ignoring}, "2"));
  CHECK_FALSE(churn.births());
  CHECK(churn.look({ignoring}, "3"));
  CHECK(churn.births());
}

TEST_CASE("process churn: a process that is not tracked yet counts again") {
  ProcessChurn churn;
  CHECK_FALSE(churn.look({task(1), task(2)}, "2"));
  churn.forget(2);
  CHECK(churn.look({task(1), task(2)}, "2"));
}

}  // namespace
}  // namespace crx
