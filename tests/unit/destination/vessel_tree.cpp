// A plan of forks comes from the peer: nothing of it is executed unless all of it makes the announced tree.
#include "agent-dst/vessel/vessel_tree.hpp"

#include <doctest/doctest.h>

#include "common/base/error.hpp"

namespace crx {
namespace {

TaskNode node(pid_t pid, pid_t ppid) {
  TaskNode task;
  task.pid = pid;
  task.ppid = ppid;
  return task;
}

void check_refused(std::vector<TaskNode> tasks, const ForkPlan& plan) {
  VesselTree tree;
  PtyTable ptys;
  try {
    tree.follow(std::move(tasks), plan, -1, ptys);
    FAIL("it was executed");
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::peer);
  }
  CHECK(tree.empty());
}

TEST_CASE("vessel tree: bad plans are refused before their first step") {
  const ForkStep root{.action = ForkAction::make_root, .vessel = 4000000};
  const ForkStep child{.action = ForkAction::fork, .vessel = 4000001, .from = 4000000};
  const std::vector<TaskNode> tasks = {node(4000000, 0), node(4000001, 4000000)};
  check_refused({}, {});
  check_refused({node(4000000, 3)}, {root});
  check_refused(tasks, {});
  check_refused(tasks, {root});
  check_refused(tasks, {child, root});
  check_refused(tasks, {root, child, child});
  check_refused({node(4000000, 0)}, {root, child});
  check_refused(tasks, {root, {.action = ForkAction::fork, .vessel = 4000001, .from = 4000000, .as_sibling = true}});
  check_refused(tasks, {root, {.action = ForkAction::fork, .vessel = -1, .from = 4000000}, child});
  check_refused(tasks, ForkPlan(1000, root));
}

}  // namespace
}  // namespace crx
