#include "agent-dst/vessel/vessel_tree.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/proc/stat.hpp"

namespace crx {
namespace {

// An upper bound: a task needs a fork, a session and a placeholder with its adopter, and some of these twice.
constexpr std::size_t kStepsPerTask = 16;

pid_t parent_of(pid_t pid) {
  return proc::parse_stat(read_file(fmt::format("/proc/{}/stat", pid))).ppid;
}

Error bad_plan(const std::string& why) {
  return Error(ErrorCode::peer, "following the source", "its plan of forks is wrong: " + why);
}

}  // namespace

VesselTree::~VesselTree() {
  for (const pid_t name : forked_.newest_first()) vessels_.erase(name);
}

Vessel& VesselTree::root() {
  if (tasks_.empty() || vessels_.empty())
    throw Error(ErrorCode::peer, "following the source", "no layout came before this");
  return vessels_.at(tasks_.front().pid);
}

Vessel* VesselTree::find(pid_t pid) noexcept {
  const auto found = vessels_.find(pid);
  return found == vessels_.end() ? nullptr : &found->second;
}

Vessel& VesselTree::at(pid_t pid) {
  Vessel* vessel = find(pid);
  if (vessel == nullptr)
    throw Error(ErrorCode::peer, "following the source", fmt::format("no layout spoke of task {}", pid));
  return *vessel;
}

std::vector<Vessel*> VesselTree::all() {
  std::vector<Vessel*> list;
  for (const TaskNode& task : tasks_) {
    Vessel* vessel = task.dead ? nullptr : find(task.pid);
    if (vessel != nullptr) list.push_back(vessel);
  }
  return list;
}

const TaskNode* VesselTree::task_of(pid_t pid) const {
  const auto found = std::find_if(tasks_.begin(), tasks_.end(), [pid](const TaskNode& t) { return t.pid == pid; });
  return found == tasks_.end() ? nullptr : &*found;
}

void VesselTree::check(const ForkPlan& plan, bool finished) const {
  if (plan.size() > (tasks_.size() + vessels_.size() + 1) * kStepsPerTask) throw bad_plan("it has too many steps");
  ForkedTree trial = forked_;
  for (const ForkStep& step : plan) {
    if (const std::string why = trial.apply(step, tasks_); !why.empty()) throw bad_plan(why);
  }
  if (const std::string why = trial.difference(tasks_, finished); !why.empty()) throw bad_plan(why);
}

void VesselTree::follow(std::vector<TaskNode> tasks, const ForkPlan& plan, int cgroup_dir, PtyTable& ptys) {
  if (const std::string why = why_no_tree(tasks); !why.empty())
    throw Error(ErrorCode::peer, "following the source", "its list of processes is no tree: " + why);
  if (!tasks_.empty() && tasks.front().pid != tasks_.front().pid)
    throw Error(ErrorCode::peer, "following the source", "the tree has another root");
  tasks_ = std::move(tasks);
  check(plan, false);
  ptys_ = &ptys;
  cgroup_dir_ = cgroup_dir;
  for (const ForkStep& step : plan) execute(step);
}

void VesselTree::finish(const ForkPlan& plan) {
  check(plan, true);
  for (const ForkStep& step : plan) execute(step);
  for (const pid_t pid : pending_sigchld_) {
    if (Vessel* vessel = find(pid)) vessel->process().forget_children();
  }
  pending_sigchld_.clear();
}

// Executes one step of a plan that has passed check(). forked_ is updated step by step, so that it knows which vessels
// exist where a step fails.
void VesselTree::execute(const ForkStep& step) {
  switch (step.action) {
    case ForkAction::make_root:
      make_root();
      break;
    case ForkAction::empty_root:
      vessels_.at(step.vessel).memory().clear();
      take_terminal(step.vessel);
      break;
    case ForkAction::fork:
      fork(step);
      break;
    case ForkAction::end_vessel:
      end_and_reap(step.vessel);
      break;
    case ForkAction::lead_session:
      vessels_.at(step.vessel).process().lead_session();
      break;
    case ForkAction::adopt_orphans:
    case ForkAction::leave_orphans:
      vessels_.at(step.vessel).process().adopt_orphans(step.action == ForkAction::adopt_orphans);
      break;
    case ForkAction::end_placeholder:
      return end_placeholder(step.vessel);
    case ForkAction::unshare:
      vessels_.at(step.vessel).process().unshare(step.flags);
      break;
    case ForkAction::enter_group:
      vessels_.at(step.vessel).process().enter_group(step.number);
      break;
    case ForkAction::end_zombie:
      end_zombie(step.vessel);
      break;
  }
  if (const std::string why = forked_.apply(step, tasks_); !why.empty()) throw bad_plan(why);
  if (step.action == ForkAction::lead_session || step.action == ForkAction::make_root) take_terminal(step.vessel);
}

void VesselTree::make_root() {
  const TaskNode& task = tasks_.front();
  VesselPlan plan;
  plan.pid = task.pid;
  plan.sid = task.sid;
  plan.pgid = task.pgid;
  plan.cgroup_dir = cgroup_dir_;
  vessels_.emplace(task.pid, Vessel::create(plan));
}

// Gives a session's leader its controlling terminal, before it has children in its session.
void VesselTree::take_terminal(pid_t pid) {
  const TaskNode* task = task_of(pid);
  if (task == nullptr || task->terminal == 0 || forked_.at(pid).sid != pid) return;
  vessels_.at(pid).process().control_terminal(ptys_->slave(task->terminal - 1));
}

void VesselTree::fork(const ForkStep& step) {
  Vessel& from = vessels_.at(step.from);
  const TaskNode* task = task_of(step.vessel);
  const pid_t pid = task == nullptr ? step.number : task->pid;
  const uint32_t exit_signal = task == nullptr ? uint32_t{SIGCHLD} : static_cast<uint32_t>(task->exit_signal);
  const auto relation = step.as_sibling ? Vessel::Relation::sibling : Vessel::Relation::child;
  vessels_.emplace(step.vessel, step.with_memory
                                    ? Vessel::fork_with_memory(from, pid, relation, step.flags, exit_signal)
                                    : Vessel::fork(from, pid, step.flags, relation, exit_signal));
  log::debug("vessel {}: a {} of {}", step.vessel, step.as_sibling ? "sibling" : "child", step.from);
}

// Ends the process and lets its parent reap the zombie, so that the PID becomes free.
void VesselTree::end_and_reap(pid_t vessel) {
  const pid_t parent = forked_.at(vessel).parent;
  vessels_.erase(vessel);
  if (Vessel* of = find(parent)) {
    of->process().reap(vessel);
    pending_sigchld_.insert(parent);
  }
}

// Ends a placeholder. The kernel decides which process adopts its children; so their new parents are read back and
// compared with the expected ones.
void VesselTree::end_placeholder(pid_t vessel) {
  const pid_t parent = forked_.at(vessel).parent;
  const std::vector<pid_t> orphans = forked_.children_of(vessel);
  Vessel& placeholder = vessels_.at(vessel);
  const pid_t number = placeholder.pid();
  placeholder.process().die(0, "crx");
  vessels_.erase(vessel);
  vessels_.at(parent).process().reap(number);
  pending_sigchld_.insert(parent);
  if (const std::string why = forked_.apply({.action = ForkAction::end_placeholder, .vessel = vessel}, tasks_);
      !why.empty())
    throw bad_plan(why);
  for (const pid_t orphan : orphans) {
    const pid_t adopter = forked_.at(orphan).parent;
    if (parent_of(vessels_.at(orphan).pid()) == vessels_.at(adopter).pid()) continue;
    throw Error(ErrorCode::unsupported, "creating the processes",
                fmt::format("the kernel does not make process {} a child of process {}", orphan, adopter))
        .with_hint("end it before moving the program");
  }
}

void VesselTree::end_zombie(pid_t pid) {
  const TaskNode& task = *task_of(pid);
  pending_sigchld_.insert(forked_.at(pid).parent);
  vessels_.at(pid).process().die(task.exit_code, task.comm);
  vessels_.erase(pid);
}

void VesselTree::release() {
  for (auto& [name, vessel] : vessels_) vessel.process().unleash();
  for (auto& [name, vessel] : vessels_) vessel.process().release();
  vessels_.clear();
}

}  // namespace crx
