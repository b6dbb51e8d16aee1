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
  for (const PrecopyTask& task : tree_.tasks()) nodes_.push_back(&task.place);
}

std::vector<PrecopyTask*> SendOrder::next() {
  wave_.clear();
  if (scheduled_.empty()) {
    schedule_first();
  } else {
    const std::set<pid_t> parents = scheduled_;
    for (const PrecopyTask& parent : tree_.tasks()) {
      if (parents.contains(parent.place.pid) && !parent.place.dead) schedule_children(parent);
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
    if (&task == &tree_.root() || (!task.replaced && !task.place.dead)) schedule(task, 0);
  }
}

void SendOrder::schedule(PrecopyTask& task, pid_t donor) {
  if (!scheduled_.insert(task.place.pid).second) return;
  task.memory_donor = donor;
  wave_.push_back(&task);
  if (!task.place.dead) schedule_below(task);
}

// Schedules the tasks that this task clones for its parent, its zombies, and, if its own vessel does not exist yet, the
// children that must be forked together with it.
void SendOrder::schedule_below(const PrecopyTask& task) {
  for (PrecopyTask& child : tree_.tasks()) {
    if (child.place.cloner == task.place.pid) schedule(child, 0);
    if (child.place.ppid != task.place.pid || &child == &tree_.root()) continue;
    if (child.place.dead || (task.replaced && is_forked_with_parent(child.place, task.place, nodes_)))
      schedule(child, 0);
  }
}

uint64_t SendOrder::shared(const PrecopyTask& task, const PrecopyTask& donor, const PrecopyTask& parent) {
  if (!task.tracked || !donor.tracked || !fits_session(task.place, donor.place, parent.place)) return 0;
  MemoryRounds& rounds = tree_.rounds();
  return rounds.space(task.place.pid).shared_with(rounds.space(donor.place.pid));
}

SendOrder::Donor SendOrder::best_donor(const PrecopyTask& task, const PrecopyTask& parent) {
  Donor best;
  const auto ask = [&](const PrecopyTask& donor) {
    const uint64_t pages = shared(task, donor, parent);
    if (pages > best.pages) best = {donor.place.pid, pages};
  };
  if (task.place.cloner == 0) ask(parent);
  std::size_t asked = 0;
  for (const PrecopyTask& sibling : tree_.tasks()) {
    if (sibling.place.pid == task.place.cloner) ask(sibling);
    // A resource that a task shares with its parent or a sibling (clone_flags) can only come from that process, so no
    // other sibling can be the donor. With CLONE_PARENT a process gets the exit signal of the sibling that clones it.
    const bool usable = task.place.clone_flags == 0 && sibling.place.ppid == parent.place.pid && !sibling.place.dead &&
                        scheduled_.contains(sibling.place.pid) && sibling.place.exit_signal == task.place.exit_signal &&
                        std::find(wave_.begin(), wave_.end(), &sibling) == wave_.end();
    if (!usable || asked == kSiblingsAsked) continue;
    ask(sibling);
    ++asked;
  }
  log::debug("process {}: {} of its pages are about as many as process {} has, too", task.place.pid, best.pages,
             best.pid);
  if (!task.tracked || best.pages * kWorthwhilePart < tree_.rounds().space(task.place.pid).pending_pages()) return {};
  return best;
}

// Schedules all new children of the task. A child waits, however, if it shares more pages with the first of them than
// with any task that has been sent, until that first child has been sent.
void SendOrder::schedule_children(const PrecopyTask& parent) {
  const PrecopyTask* first = nullptr;
  for (PrecopyTask& child : tree_.tasks()) {
    if (child.place.ppid != parent.place.pid || &child == &tree_.root() || scheduled_.contains(child.place.pid))
      continue;
    const Donor donor = best_donor(child, parent);
    const bool waits = first != nullptr && shared(child, *first, parent) > donor.pages + donor.pages / 16 + 64;
    if (waits) continue;
    if (first == nullptr) first = &child;
    schedule(child, donor.pid);
  }
}

}  // namespace crx
