#include "agent-src/migrate/send_order.hpp"

#include <algorithm>

#include "common/base/log.hpp"

namespace crx {
namespace {

// A task that has less than this part (1/16) of its pages in common with a donor gets a vessel that starts empty.
constexpr uint64_t kWorthwhilePart = 16;
constexpr std::size_t kSiblingsAsked = 2;

// Returns whether a process that is forked from `donor`, as its child or sibling, is in the session that the task
// needs. A session leader must be born in its parent's session, which it leaves later: its earlier children are still
// in that session.
bool fits_session(const TaskNode& task, const TaskNode& donor, const TaskNode& parent) {
  return task.sid == donor.sid || (task.sid == task.pid && donor.sid == parent.sid);
}

}  // namespace

SendOrder::SendOrder(PrecopyTree& tree) : tree_(tree) {
  for (const PrecopyTask& task : tree_.tasks()) nodes_.push_back(&task.node);
}

std::vector<PrecopyTask*> SendOrder::next() {
  wave_.clear();
  if (scheduled_.empty()) {
    schedule_first();
  } else {
    const std::set<pid_t> parents = scheduled_;
    for (const PrecopyTask& parent : tree_.tasks()) {
      if (parents.contains(parent.node.pid) && !parent.node.dead) schedule_children(parent);
    }
  }
  std::vector<PrecopyTask*> in_order;
  for (PrecopyTask& task : tree_.tasks()) {
    if (std::find(wave_.begin(), wave_.end(), &task) != wave_.end()) in_order.push_back(&task);
  }
  return in_order;
}

void SendOrder::schedule_first() {
  for (PrecopyTask& task : tree_.tasks()) {
    if (&task == &tree_.root() || (!task.replaced && !task.node.dead)) schedule(task, 0);
  }
}

void SendOrder::schedule(PrecopyTask& task, pid_t donor) {
  if (!scheduled_.insert(task.node.pid).second) return;
  task.memory_donor = donor;
  wave_.push_back(&task);
  if (!task.node.dead) schedule_below(task);
}

// Schedules the tasks that this task clones for its parent, its zombies, and, if its own vessel does not exist yet, the
// children that must be forked together with it.
void SendOrder::schedule_below(const PrecopyTask& task) {
  for (PrecopyTask& child : tree_.tasks()) {
    if (child.node.cloner == task.node.pid) schedule(child, 0);
    if (child.node.ppid != task.node.pid || &child == &tree_.root()) continue;
    if (child.node.dead || (task.replaced && is_forked_with_parent(child.node, task.node, nodes_))) schedule(child, 0);
  }
}

uint64_t SendOrder::shared(const PrecopyTask& task, const PrecopyTask& donor, const PrecopyTask& parent) {
  if (!task.tracked || !donor.tracked || !fits_session(task.node, donor.node, parent.node)) return 0;
  MemoryRounds& rounds = tree_.rounds();
  return rounds.space(task.node.pid).shared_with(rounds.space(donor.node.pid));
}

SendOrder::Donor SendOrder::best_donor(const PrecopyTask& task, const PrecopyTask& parent) {
  Donor best;
  const auto ask = [&](const PrecopyTask& donor) {
    const uint64_t pages = shared(task, donor, parent);
    if (pages > best.pages) best = {donor.node.pid, pages};
  };
  if (task.node.cloner == 0) ask(parent);
  std::size_t asked = 0;
  for (const PrecopyTask& sibling : tree_.tasks()) {
    if (sibling.node.pid == task.node.cloner) ask(sibling);
    // A resource that a task shares with its parent or a sibling (clone_flags) can only come from that process, so no
    // other sibling can be the donor. With CLONE_PARENT a process gets the exit signal of the sibling that clones it.
    const bool usable = task.node.clone_flags == 0 && sibling.node.ppid == parent.node.pid && !sibling.node.dead &&
                        scheduled_.contains(sibling.node.pid) && sibling.node.exit_signal == task.node.exit_signal &&
                        std::find(wave_.begin(), wave_.end(), &sibling) == wave_.end();
    if (!usable || asked == kSiblingsAsked) continue;
    ask(sibling);
    ++asked;
  }
  log::debug("process {}: {} of its pages are about as many as process {} has, too", task.node.pid, best.pages,
             best.pid);
  if (!task.tracked || best.pages * kWorthwhilePart < tree_.rounds().space(task.node.pid).pending_pages()) return {};
  return best;
}

// Schedules all new children of the task. A child waits, however, if it shares more pages with the first of them than
// with any task that has been sent, until that first child has been sent.
void SendOrder::schedule_children(const PrecopyTask& parent) {
  const PrecopyTask* first = nullptr;
  for (PrecopyTask& child : tree_.tasks()) {
    if (child.node.ppid != parent.node.pid || &child == &tree_.root() || scheduled_.contains(child.node.pid)) continue;
    const Donor donor = best_donor(child, parent);
    const bool waits = first != nullptr && shared(child, *first, parent) > donor.pages + donor.pages / 16 + 64;
    if (waits) continue;
    if (first == nullptr) first = &child;
    schedule(child, donor.pid);
  }
}

}  // namespace crx
