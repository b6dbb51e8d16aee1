// Who moves along, as a collector's context tells it.
#pragma once

#include <sys/types.h>

#include <vector>

#include "agent-src/frozen_task.hpp"

namespace crx {

// The living processes of the tree, the root first. Of a context that knows one process only: that one.
template <typename Context>
std::vector<pid_t> insiders_of(Context& context) {
  std::vector<pid_t> pids;
  if constexpr (requires { context.tree.members(); }) {
    for (const auto& member : context.tree.members()) {
      if (!member.dead) pids.push_back(member.pid);
    }
  } else if constexpr (requires { context.tree.begin(); }) {
    for (const auto& member : context.tree) {
      if (!member.dead) pids.push_back(member.pid);
    }
  } else if constexpr (requires { context.task.pid(); }) {
    pids.push_back(context.task.pid());
  } else {
    pids.push_back(context.pid);
  }
  return pids;
}

template <typename Context>
std::vector<FrozenTask*> stopped_tasks(Context& context) {
  if constexpr (requires { context.tree.tasks(); }) {
    std::vector<FrozenTask*> tasks;
    for (const auto& task : context.tree.tasks()) tasks.push_back(task.get());
    return tasks;
  } else {
    return {&context.task};
  }
}

// Whether it is the root's context: what a tree has together is collected once.
template <typename Context>
bool is_roots(Context& context) {
  const std::vector<pid_t> pids = insiders_of(context);
  if constexpr (requires { context.task.pid(); }) {
    return !pids.empty() && pids.front() == context.task.pid();
  } else {
    return !pids.empty() && pids.front() == context.pid;
  }
}

}  // namespace crx
