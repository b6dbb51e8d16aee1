#include "wire/tree_message.hpp"

#include <doctest/doctest.h>

#include "common/base/error.hpp"

namespace crx {
namespace {

TaskNode node() {
  TaskNode task;
  task.pid = 12;
  task.start_ticks = 1234567;
  task.ppid = 7;
  task.sid = 5;
  task.pgid = 6;
  task.terminal = 3;
  task.exit_signal = 0;
  task.groups = {1, 2, 3, 2};
  return task;
}

google::protobuf::RepeatedPtrField<wire::TaskNode> list_of(const wire::TaskNode& message) {
  google::protobuf::RepeatedPtrField<wire::TaskNode> list;
  *list.Add() = message;
  return list;
}

TEST_CASE("tree message: a process there and back") {
  const TaskNode task = node();
  const TaskNode back = wire::task_nodes(list_of(wire::to_message(task, false))).front();
  CHECK(back.same_place(task));
  CHECK(back.pgid == 6);
  CHECK(back.exit_signal == 0);
  CHECK(back.groups == task.groups);
  CHECK(wire::task_nodes(list_of(wire::to_message(task, true))).front().ppid == 0);
  TaskNode zombie = task;
  zombie.dead = true;
  zombie.exit_code = 7 << 8;
  zombie.comm = "gone";
  zombie.exit_signal = SIGCHLD;
  const TaskNode ended = wire::task_nodes(list_of(wire::to_message(zombie, false))).front();
  CHECK(ended.dead);
  CHECK(ended.exit_code == 7 << 8);
  CHECK(ended.comm == "gone");
  CHECK(ended.exit_signal == SIGCHLD);
}

TEST_CASE("tree message: a step there and back") {
  const ForkStep step{.action = ForkAction::fork,
                      .vessel = -2,
                      .from = 12,
                      .number = 99,
                      .flags = sharing::kDescriptors,
                      .as_sibling = true,
                      .with_memory = true};
  google::protobuf::RepeatedPtrField<wire::ForkStep> list;
  *list.Add() = wire::to_message(step);
  CHECK(wire::fork_plan(list) == ForkPlan{step});
}

TEST_CASE("tree message: what is no process and no step is turned down") {
  const wire::TaskNode good = wire::to_message(node(), false);
  for (const auto set :
       {&wire::TaskNode::set_pid, &wire::TaskNode::set_ppid, &wire::TaskNode::set_sid, &wire::TaskNode::set_pgid}) {
    wire::TaskNode bad = good;
    (bad.*set)(UINT32_MAX);
    CHECK_THROWS_AS(wire::task_nodes(list_of(bad)), Error);
  }
  wire::TaskNode bad = good;
  bad.clear_groups();
  CHECK_THROWS_AS(wire::task_nodes(list_of(bad)), Error);
  google::protobuf::RepeatedPtrField<wire::ForkStep> list;
  for (const uint32_t action : {0U, 12U, UINT32_MAX}) {
    list.Clear();
    list.Add()->set_action(action);
    CHECK_THROWS_AS(wire::fork_plan(list), Error);
  }
  list.Clear();
  list.Add()->set_action(3);
  list.Mutable(0)->set_number(UINT32_MAX);
  CHECK_THROWS_AS(wire::fork_plan(list), Error);
}

}  // namespace
}  // namespace crx
