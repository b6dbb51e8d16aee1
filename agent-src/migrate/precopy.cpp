#include "agent-src/migrate/precopy.hpp"

#include <fmt/format.h>

#include <optional>
#include <set>
#include <utility>

#include "agent-src/freeze/throttle.hpp"
#include "agent-src/memory/convergence.hpp"
#include "agent-src/tool/worker.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/tool/fault_point.hpp"

namespace crx {
namespace {

constexpr int64_t kRoundMs = 24LL * 3600 * 1000;

ConvergenceLimits limits_of(const MigrateOptions& options) {
  ConvergenceLimits limits;
  limits.max_downtime_us = options.max_downtime_ms * 1000;
  limits.max_rounds = options.max_rounds;
  switch (options.on_no_converge) {
    case OnNoConverge::accept:
      limits.policy = NonConvergence::accept;
      break;
    case OnNoConverge::throttle:
      limits.policy = NonConvergence::throttle;
      break;
    case OnNoConverge::fail:
      limits.policy = NonConvergence::fail;
      break;
  }
  return limits;
}

}  // namespace

Precopy::Precopy(MigrationContext& context, Cleared cleared)
    : context_(context), from_(std::move(cleared)), tasks_(from_.tree->tasks), sender_(context, *from_.tree) {}

Precopied Precopy::run() && {
  context_.description.group = FreezerGroup::path_below(context_.options.pid, context_.session.substr(0, 16) + "-src");
  if (context_.options.unit == UnitPolicy::stop && from_.unit)
    context_.description.unit = SessionUnit{from_.unit->name, from_.unit->user};
  context_.journal.append(JournalState::open, to_detail(context_.description));
  group_.emplace(FreezerGroup::create(context_.description.group));
  const TreeSnapshot tree = gather();
  for (const std::string& detail : to_details(group_->homes())) context_.journal.add_detail(detail);
  reach(FaultPoint::source_gathered);
  start_tracking(tree);
  context_.end_phase();
  reach(FaultPoint::source_tracking);
  send_rounds();
  context_.end_phase();
  return Precopied(std::move(from_), std::move(sender_), std::move(*group_));
}

// Moves the whole tree into the cgroup, in which later children are born. Returns the tree as it is in the cgroup.
TreeSnapshot Precopy::gather() {
  const pid_t root = context_.options.pid;
  std::set<pid_t> known;
  for (;;) {
    bool found = false;
    TreeSnapshot tree = list_tree(root);
    for (const TaskNode& task : tree.tasks) {
      if (task.dead || !known.insert(task.pid).second) continue;
      found = true;
      from_.tree->homes.note(task.pid);
      try {
        group_->add(task.pid);
      } catch (const Error& error) {
        if (error.code() != ErrorCode::victim_gone || task.pid == root) throw;
      }
    }
    if (!found) return tree;
  }
}

void Precopy::start_tracking(const TreeSnapshot& tree) {
  tasks_.follow(tree);
  context_.report.tracker = to_string(tasks_.tracker());
  context_.report.tracking_stop_us = tasks_.longest_stop_us();
}

void Precopy::send_round(uint32_t round) {
  const int64_t began_us = monotonic_us();
  std::optional<FrozenTree> stop;
  if (tasks_.rounds().needs_stop()) {
    const Deadline deadline = Deadline::in_ms(context_.options.freeze_timeout_ms);
    stop.emplace(FrozenTree::freeze(context_.options.pid, deadline, from_.tree->kernel));
  }
  MemoryStatistics statistics = tasks_.begin_round();
  if (stop) stop->thaw();
  context_.progress.emplace(context_.observer, *context_.link, round, statistics.dirty_pages * kPageSize);
  const unsigned marks = sender_.send_round(round, statistics);
  context_.await_round(round, marks, Deadline::in_ms(kRoundMs));
  context_.progress.reset();
  context_.observer.round(context_.add_round(began_us, statistics));
  reach(FaultPoint::source_round);
}

void Precopy::send_rounds() {
  Convergence convergence(limits_of(context_.options));
  std::optional<Throttle> throttle;
  Decision decision = convergence.start();
  for (uint32_t round = 1; decision.step == NextStep::round || decision.step == NextStep::throttle; ++round) {
    throttle.reset();
    check_stop();
    if (decision.step == NextStep::throttle) throttle.emplace(*group_, decision.duty);
    send_round(round);
    const RoundReport& done = context_.report.rounds.back();
    decision = convergence.after({done.bytes_dirty / kPageSize, done.pages_sent, done.scan_us, done.duration_us});
    log::debug("round {}: {} pages dirty, {} us; a stop now would take {} us", round, done.bytes_dirty / kPageSize,
               done.duration_us, decision.expected_us);
  }
  if (decision.step == NextStep::fail) {
    throw Error(ErrorCode::refused, "pre-copy",
                fmt::format("the process writes faster than {} takes it: a stop would last about {} ms",
                            context_.peer.name, decision.expected_us / 1000))
        .with_hint("raise --max-downtime, or use --on-no-converge throttle or accept");
  }
}

}  // namespace crx
