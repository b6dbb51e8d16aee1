#include "agent-src/freeze/frozen_tree.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <exception>

#include "agent-src/freeze/interrupted_calls.hpp"
#include "common/base/error.hpp"
#include "common/base/fd.hpp"
#include "common/base/log.hpp"

namespace crx {

FrozenTree FrozenTree::freeze(pid_t root, Deadline deadline, KernelView& kernel) {
  FrozenTree tree;
  // Look at all threads at once while they run: none of this must be part of the stop.
  InterruptedCalls calls(kernel);
  std::vector<pid_t> running;
  for (const TaskNode& member : list_tree(root).tasks) {
    if (!member.dead) running.push_back(member.pid);
  }
  calls.look_at(running);
  // An orphan turns up among the children of a process that was stopped earlier, so look at all of them again until
  // there is nothing new.
  while (tree.stop_new(root, deadline, calls)) {
  }
  // Read the final places of all processes. A stopped process can only have been killed since.
  TreeSnapshot& snapshot = tree.snapshot_;
  for (TaskNode& member : snapshot.tasks) {
    if (!try_read_task(member.pid, member, &snapshot.traces[member.pid]) ||
        (member.dead && tree.find(member.pid) != nullptr))
      throw_gone(member.pid, "freezing");
  }
  find_sharing(snapshot.tasks);
  snapshot.last_born = last_born();
  return tree;
}

bool FrozenTree::stop_new(pid_t root, Deadline deadline, InterruptedCalls& calls) {
  std::vector<TaskNode>& members = snapshot_.tasks;
  bool found = false;
  const auto visit = [&](pid_t pid) {
    TaskNode member;
    if (holds(pid) || !try_read_task(pid, member)) return;
    // A process that ends meanwhile is a zombie, or gone.
    if (!member.dead && !stop(member, deadline, calls) && (!try_read_task(pid, member) || !member.dead)) return;
    members.push_back(std::move(member));
    found = true;
  };
  visit(root);
  if (members.empty() || members.front().dead) throw_gone(root, "freezing");
  for (std::size_t at = 0; at < members.size(); ++at) {
    if (members[at].dead) continue;
    for (const pid_t child : list_children(members[at].pid)) visit(child);
  }
  return found;
}

// Returns false if the process ended before it could be stopped.
bool FrozenTree::stop(const TaskNode& member, Deadline deadline, InterruptedCalls& calls) {
  for (;;) {
    try {
      tasks_.push_back(
          std::make_unique<FrozenTask>(FrozenTask::freeze(member.pid, deadline, has_seccomp(member.pid), calls)));
      return true;
    } catch (const Error& error) {
      if (error.code() != ErrorCode::victim_gone) throw;
      // It has ended, or one of its threads has called execve, which ended the others.
      TaskNode now;
      if (!try_read_task(member.pid, now) || now.dead || now.start_ticks != member.start_ticks) return false;
      log::debug("process {} changed while it was being stopped ({}), trying again", member.pid, error.what());
      if (deadline.passed()) throw;
    }
  }
}

bool FrozenTree::holds(pid_t pid) const noexcept {
  return std::any_of(members().begin(), members().end(), [pid](const TaskNode& m) { return m.pid == pid; });
}

FrozenTask* FrozenTree::find(pid_t pid) noexcept {
  for (const auto& task : tasks_) {
    if (task->pid() == pid) return task.get();
  }
  return nullptr;
}

std::vector<FrozenTask*> FrozenTree::all() const {
  std::vector<FrozenTask*> list;
  for (const auto& task : tasks_) list.push_back(task.get());
  return list;
}

void FrozenTree::inject(CallSites& sites) {
  std::vector<CallSite> found;
  for (const auto& task : tasks_) found.push_back(sites.of(task->pid()));
  FrozenTask::inject_all(all(), found);
}

void FrozenTree::settle() {
  FrozenTask::settle_all(all());
}
void FrozenTree::eject() {
  FrozenTask::eject_all(all());
}

void FrozenTree::thaw() {
  std::exception_ptr failed;
  const auto attempt = [&failed](auto step) {
    try {
      step();
    } catch (const Error& error) {
      if (error.code() != ErrorCode::victim_gone && !failed) failed = std::current_exception();
      log::debug("releasing the tree: {}", error.what());
    }
  };
  attempt([this] { eject(); });
  for (const auto& task : tasks_) attempt([&task] { task->thaw(); });
  if (failed) std::rethrow_exception(failed);
}

}  // namespace crx
