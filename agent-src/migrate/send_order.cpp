#include "agent-src/migrate/send_order.hpp"

#include <algorithm>

#include "common/base/log.hpp"

namespace crx {
namespace {

// With less in common than this part of its pages a task is better off with a vessel that starts empty.
constexpr uint64_t kWorthwhilePart = 16;
constexpr std::size_t kSiblingsAsked = 2;

// Whether a process forked from `donor`, as its child or sibling, comes into the session it needs: that of a leader is
// the one it leaves, in which children that it had before are.
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

// Schedules the tasks that it clones for their parent, its zombies, and, where the task's own vessel is yet to be made,
// the children that must be forked with it.
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
    // What is shared with the parent, or with a sibling, is had from there only. A sibling hands its exit signal down.
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

// All of its children that are new; but those that share more with the first of them than with anybody who has been
// sent wait until that one has been.
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
