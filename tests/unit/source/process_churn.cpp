#include <doctest/doctest.h>

#include <vector>

#include "agent-src/tree/process_churn.hpp"

namespace crx {
namespace {

struct Seen {
  TaskNode node;
  ChildTraces traces;
};

Seen task(pid_t pid, uint64_t child_faults = 0, uint64_t start_ticks = 1) {
  Seen out;
  out.node.pid = pid;
  out.node.start_ticks = start_ticks;
  out.traces.faults = child_faults;
  return out;
}

TreeSnapshot tree(const std::vector<Seen>& tasks, const char* last_born) {
  TreeSnapshot out;
  for (const Seen& seen : tasks) {
    out.tasks.push_back(seen.node);
    out.traces[seen.node.pid] = seen.traces;
  }
  out.last_born = last_born;
  return out;
}

TEST_CASE("process churn: no process was forked or has ended") {
  ProcessChurn churn;
  CHECK_FALSE(churn.look(tree({task(1, 7), task(2)}, "2")));
  CHECK_FALSE(churn.look(tree({task(1, 7), task(2)}, "2")));
  CHECK_FALSE(churn.look(tree({task(1, 7), task(2)}, "9")));  // forked elsewhere
}

TEST_CASE("process churn: one is forked, ends, becomes a zombie, or another gets its number") {
  for (const auto& then :
       {std::vector{task(1)}, std::vector{task(1), task(2), task(3)}, std::vector{task(1), task(2, 0, 2)}}) {
    ProcessChurn churn;
    CHECK_FALSE(churn.look(tree({task(1), task(2)}, "2")));
    CHECK(churn.look(tree(then, "2")));
    CHECK_FALSE(churn.look(tree(then, "2")));
  }
  ProcessChurn churn;
  Seen zombie = task(2);
  CHECK_FALSE(churn.look(tree({task(1), zombie}, "2")));
  zombie.node.dead = true;
  CHECK(churn.look(tree({task(1), zombie}, "2")));
  CHECK_FALSE(churn.look(tree({task(1), zombie}, "2")));
}

TEST_CASE("process churn: a child that was never seen is noticed by its parent's faults, or by its number") {
  ProcessChurn churn;
  CHECK_FALSE(churn.look(tree({task(1, 7)}, "2")));
  CHECK(churn.look(tree({task(1, 8)}, "2")));
  Seen ignoring = task(1, 8);
  ignoring.traces.ignores_sigchld = true;
  CHECK_FALSE(churn.look(tree({ignoring}, "2")));
  CHECK_FALSE(churn.births());
  CHECK(churn.look(tree({ignoring}, "3")));
  CHECK(churn.births());
}

TEST_CASE("process churn: a process that is not tracked yet counts again") {
  ProcessChurn churn;
  CHECK_FALSE(churn.look(tree({task(1), task(2)}, "2")));
  churn.forget(2);
  CHECK(churn.look(tree({task(1), task(2)}, "2")));
}

}  // namespace
}  // namespace crx
