#include "wire/tree_message.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "common/base/error.hpp"

namespace crx::wire {
namespace {

constexpr uint32_t kMaxPid = 1 << 22;  // PID_MAX_LIMIT, include/linux/threads.h

pid_t pid_of(uint32_t number) {
  if (number > kMaxPid)
    throw Error(ErrorCode::peer, "reading a layout", fmt::format("{} is no number of a process", number));
  return static_cast<pid_t>(number);
}

uint32_t to_wire(pid_t pid) {
  return static_cast<uint32_t>(std::max(pid, 0));
}

}  // namespace

TaskNode to_message(const crx::TaskNode& task, bool is_root) {
  TaskNode message;
  message.set_pid(to_wire(task.pid));
  message.set_start_ticks(task.start_ticks);
  if (!is_root) message.set_ppid(to_wire(task.ppid));
  message.set_sid(to_wire(task.sid));
  message.set_pgid(to_wire(task.pgid));
  message.set_terminal(task.terminal);
  if (const int number = task.exit_signal; number != SIGCHLD && number >= 0)
    message.set_exit_signal(static_cast<uint32_t>(number));
  if (task.dead) {
    message.set_dead(true);
    message.set_exit_code(task.exit_code);
    message.set_comm(task.comm);
    return message;
  }
  for (const uint32_t group : task.groups) message.add_groups(group);
  return message;
}

ForkStep to_message(const crx::ForkStep& step) {
  ForkStep message;
  message.set_action(static_cast<uint32_t>(step.action));
  message.set_vessel(step.vessel);
  message.set_from(step.from);
  message.set_number(to_wire(step.number));
  message.set_flags(step.flags);
  message.set_as_sibling(step.as_sibling);
  message.set_with_memory(step.with_memory);
  return message;
}

std::vector<crx::TaskNode> task_nodes(const google::protobuf::RepeatedPtrField<TaskNode>& list) {
  std::vector<crx::TaskNode> tasks;
  for (const TaskNode& message : list) {
    crx::TaskNode& task = tasks.emplace_back();
    task.pid = pid_of(message.pid());
    task.start_ticks = message.start_ticks();
    task.ppid = pid_of(message.ppid());
    task.sid = pid_of(message.sid());
    task.pgid = pid_of(message.pgid());
    task.terminal = message.terminal();
    task.exit_signal = message.has_exit_signal() ? static_cast<int>(std::min(message.exit_signal(), 255U)) : SIGCHLD;
    task.dead = message.dead();
    task.exit_code = message.exit_code();
    task.comm = message.comm();
    if (task.dead) continue;
    if (message.groups_size() != static_cast<int>(task.groups.size()))
      throw Error(ErrorCode::peer, "reading a layout", fmt::format("it does not say what task {} shares", task.pid));
    std::copy(message.groups().begin(), message.groups().end(), task.groups.begin());
  }
  return tasks;
}

ForkPlan fork_plan(const google::protobuf::RepeatedPtrField<ForkStep>& list) {
  ForkPlan plan;
  for (const ForkStep& message : list) {
    if (message.action() == 0 || message.action() > static_cast<uint32_t>(kLastForkAction))
      throw Error(ErrorCode::peer, "reading a plan of forks", fmt::format("step {} is unknown", message.action()));
    plan.push_back({.action = static_cast<ForkAction>(message.action()),
                    .vessel = message.vessel(),
                    .from = message.from(),
                    .number = pid_of(message.number()),
                    .flags = message.flags(),
                    .as_sibling = message.as_sibling(),
                    .with_memory = message.with_memory()});
  }
  return plan;
}

}  // namespace crx::wire
