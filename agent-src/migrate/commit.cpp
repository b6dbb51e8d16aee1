#include "agent-src/migrate/commit.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <thread>
#include <utility>

#include "agent-src/recover/in_doubt.hpp"
#include "agent-src/tool/worker.hpp"
#include "common/base/log.hpp"
#include "common/base/step_clock.hpp"
#include "common/kernel/process/pidfd.hpp"
#include "common/session/held_locks.hpp"
#include "common/session/source_session.hpp"
#include "common/tool/fault_point.hpp"

namespace crx {
namespace {

constexpr int64_t kVerdictMs = 60'000;
constexpr int64_t kAskAgainMs = 500;
constexpr int64_t kLongestPauseMs = 15'000;
constexpr int64_t kQueryMs = 5'000;
constexpr int64_t kEndMs = 10'000;

void append_steps(const google::protobuf::RepeatedPtrField<wire::Step>& from, std::vector<Step>& to) {
  for (const wire::Step& step : from) to.push_back({step.name(), static_cast<int64_t>(step.us())});
}

constexpr char kRemoving[] = "removing the original";

// For steps whose failure must not keep the next one from being made.
template <typename Step>
void attempt(const char* what, Step step) {
  try {
    step();
  } catch (const std::exception& error) {
    log::warn("{}: {}", what, error.what());
  }
}

}  // namespace

Commit::Commit(MigrationContext& context, PreparedMove prepared) : context_(context), state_(std::move(prepared)) {}

int Commit::run() && {
  int outcome = 0;
  try {
    outcome = decide();
  } catch (const std::exception& error) {
    if (context_.decided) {
      log::error("session {}: after GO: {}", context_.session, error.what());
      return leave_in_doubt();
    }
    // ABORTED must not be in the journal while the group is frozen: if all processes of crx-migrate died, nobody would
    // thaw it. The tree is still stopped by ptrace.
    attempt("rolling back", [this] { state_.group->thaw(); });
    // A write lease that was released can be taken again only when no process at the destination has its file open.
    if (state_.stop->locks.has_released_leases()) context_.abort(error.what());
    state_.stop.reset();
    throw;
  }
  state_.stop->realtime.reset();
  if (outcome == 0 && context_.options.wait) return wait_for_exit();
  return outcome;
}

// Freezes the original, writes GO, and acts on the destination's verdict. From `freeze` on the cgroup holds the
// original, no matter which process dies.
int Commit::decide() {
  StepClock clock(context_.report.cutover.source_steps);
  TreeLocks& locks = state_.stop->locks;
  for (const std::string& detail : to_details(locks.held(false))) context_.journal.add_detail(detail);
  locks.begin();
  reach(FaultPoint::source_locks_released);
  state_.group->freeze(Deadline::in_ms(context_.options.freeze_timeout_ms));
  clock.lap("freeze group");
  state_.stop->clock.lap("freeze group");
  reach(FaultPoint::source_group_frozen);
  check_link();
  context_.packets.keep();
  context_.journal.append(JournalState::go, locks.empty() ? "" : kReleasedLocks);
  clock.lap("journal GO");
  context_.decided = true;
  const std::optional<Verdict> verdict = send_go();
  clock.lap("await resumed");
  if (!verdict) return leave_in_doubt();
  reach(FaultPoint::source_verdict);
  if (verdict->resumed) {
    locks.disown();
    return finish(*verdict->resumed);
  }
  return run_on_here(context_.peer.name + " has decided not to resume it" +
                     (verdict->reason.empty() ? "" : ": " + verdict->reason));
}

// Throws Error if the destination is not there any more, or has given up: as long as GO is not in the journal, the tree
// can run on here without asking it.
void Commit::check_link() {
  const auto message = context_.link->receive(Deadline::in_ms(0));
  if (message) throw Error(ErrorCode::peer, "committing", context_.peer.name + " has given up");
}

// Sends Go and waits for the verdict on the session's connection. If that fails, asks for the verdict until there is
// one. Returns nullopt if crx-migrate is asked to stop, or --timeout passes, before there is one.
std::optional<Commit::Verdict> Commit::send_go() {
  try {
    reach(FaultPoint::source_go_journalled);
    state_.stop->locks.complete();
    wire::SessionMessage go;
    go_us_ = monotonic_us();
    state_.stop->clock.lap("journal GO", go_us_);
    half_trip_us_ = context_.link->statistics().rtt_us / 2;
    stopped_us_ = go_us_ - state_.stop->tree.stopped_since_us() + half_trip_us_;
    go.mutable_go()->set_stopped_us(static_cast<uint64_t>(stopped_us_));
    context_.link->send(go);
    reach(FaultPoint::source_go_sent);
    if (auto verdict = receive_verdict(Deadline::in_ms(kVerdictMs))) return verdict;
  } catch (const Error& error) {
    log::warn("waiting for the verdict: {}", error.what());
  }
  return ask_for_verdict();
}

// Leaves the original frozen, since it is unknown whether the destination has resumed the tree. The agent of this host
// goes on asking (agent-src/recover).
int Commit::leave_in_doubt() {
  state_.stop->locks.disown();
  context_.packets.leave_installed();
  context_.thawed.abandon();  // whoever settles the session freezes them again
  const std::string whether = fmt::format("{} may or may not have resumed the process", context_.peer.name);
  std::string original = "the original has ended";
  if (state_.group) {
    original = describe_kept(context_.description, context_.session);
    state_.group->abandon();
  }
  context_.fail(Outcome::in_doubt, fmt::format("committing: {}; {}", whether, original), ErrorCode::peer);
  return static_cast<int>(Outcome::in_doubt);
}

// Writes the final record, after the step that it reports. If that fails, the session has its outcome all the same, and
// the agent of this host writes the record later.
void Commit::record(JournalState state, const std::string& why) noexcept {
  try {
    reach(FaultPoint::source_final_record);
    context_.journal.append(state, why);
  } catch (const std::exception& error) {
    log::error("session {}: {} is not in the journal yet: {}", context_.session, to_string(state), error.what());
  }
}

// Resumes the original after the verdict NEVER.
int Commit::run_on_here(const std::string& why) {
  if (!take_back()) return static_cast<int>(Outcome::in_doubt);
  state_.stop->tree.thaw();
  record(JournalState::aborted, why);
  context_.hook.run_noting(HookStage::aborted, context_.hook_context());
  context_.fail(Outcome::failed, "committing: " + why, ErrorCode::peer);
  return static_cast<int>(Outcome::failed);
}

// Thaws the cgroup while ptrace still stops the tree, and takes the tree's locks back. Returns false if another process
// holds one of them now: the tree must not run then, and is kept frozen.
bool Commit::take_back() {
  FreezerGroup& group = *state_.group;
  TreeLocks& locks = state_.stop->locks;
  group.thaw();
  try {
    locks.take_back();
    return true;
  } catch (const Error& error) {
    locks.disown();
    group.freeze(Deadline::in_ms(context_.options.freeze_timeout_ms));
    const std::string message =
        fmt::format("committing: {} did not resume the process, and {}; the process is kept frozen here in cgroup {}",
                    context_.peer.name, error.what(), group.path());
    group.abandon();
    context_.fail(Outcome::in_doubt, message, error.code());
    return false;
  }
}

// Returns nullopt if the deadline or --timeout passes, or crx-migrate is told to stop. When the message Decided
// arrives, the original ends, and from then on NEVER is not accepted as a verdict. Throws Error(peer) for a message
// that is none of these.
std::optional<Commit::Verdict> Commit::receive_verdict(Deadline deadline) {
  while (!deadline.passed() && !stop_requested() && !context_.overall.passed()) {
    const auto message = context_.link->receive(Deadline::in_ms(kAskAgainMs));
    if (!message) continue;
    if (message->has_resumed()) return Verdict{message->resumed(), {}};
    if (message->has_never() && !ends_) return Verdict{std::nullopt, message->never().reason()};
    if (!message->has_decided()) throw Error(ErrorCode::peer, "committing", context_.peer.name + " broke the protocol");
    state_.stop->locks.disown();
    if (end_original()) context_.link->send(*message);  // else the destination goes on when it has waited long enough
  }
  return std::nullopt;
}

// Asks for the verdict by session id, over new connections, with growing pauses. Returns nullopt if crx-migrate is
// asked to stop, or --timeout passes, before there is one.
std::optional<Commit::Verdict> Commit::ask_for_verdict() {
  for (int64_t pause_ms = kAskAgainMs;; pause_ms = std::min(pause_ms * 2, kLongestPauseMs)) {
    try {
      const wire::SessionState state = wire::query_session(context_.connect_options(), Deadline::in_ms(kQueryMs));
      if (state.state() == "RESUMED") return Verdict{wire::Resumed(), {}};
      if ((state.state() == "NEVER" || state.state() == "LOST") && !ends_) return Verdict{std::nullopt, state.detail()};
      log::warn("session {}: {} says {}; it is asked again", context_.session, context_.peer.name, state.state());
    } catch (const Error& error) {
      log::warn("session {}: {}; it is asked again", context_.session, error.what());
    }
    for (const Deadline next = Deadline::in_ms(pause_ms); !next.passed();) {
      if (stop_requested() || context_.overall.passed()) return std::nullopt;
      std::this_thread::sleep_for(std::chrono::milliseconds(kAskAgainMs / 10));
    }
  }
}

// Kills the original, which is still frozen when SIGKILL reaches it, so it does not execute one more instruction:
// FrozenTree::thaw() only detaches the tasks from ptrace, and the cgroup holds them until its own thaw(). Processes
// that cannot all be killed stay frozen.
void Commit::remove_original() {
  std::vector<Fd> pidfds;
  for (const auto& task : state_.stop->tree.tasks()) pidfds.push_back(duplicate(task->pidfd()));
  attempt(kRemoving, [this] { context_.packets.close_silently(); });
  attempt(kRemoving, [this] { state_.stop->tree.thaw(); });
  for (const Fd& pidfd : pidfds) send_signal(pidfd.get(), SIGKILL);
  state_.group->thaw();
  const Deadline deadline = Deadline::in_ms(kEndMs);
  for (const Fd& pidfd : pidfds) {
    if (!wait_exit(pidfd.get(), deadline)) log::warn("the original does not go away");
  }
  attempt(kRemoving, [this] { context_.packets.unblock(); });
  const std::string group = state_.group->path();
  state_.group.reset();
  // If the tree was migrated to this host earlier, the parent is the cgroup that the agent created for it, and is now
  // empty.
  const std::string home = group.substr(0, group.rfind('/'));
  if (home.substr(home.rfind('/') + 1).starts_with("crx-")) ::rmdir(home.c_str());
}

// Ends the original. A systemd unit is stopped first, since systemd would otherwise start the program again. Returns
// whether it has ended: if not, what is left of it stays frozen, and must not run again.
bool Commit::end_original() noexcept {
  if (!state_.group) return true;
  if (std::exchange(ends_, true)) return false;
  if (state_.unit && context_.options.unit == UnitPolicy::stop) stop_unit(*state_.unit);
  try {
    remove_original();
    if (state_.unit && context_.options.unit == UnitPolicy::stop) forget_failure(*state_.unit);
    return true;
  } catch (const std::exception& error) {
    log::error("session {}: the original does not end: {}; {}", context_.session, error.what(),
               describe_kept(context_.description, context_.session));
    if (state_.group) state_.group->abandon();
    return false;
  }
}

int Commit::finish(const wire::Resumed& resumed) {
  const int64_t now_us = monotonic_us();
  context_.report.cutover.resume_us = static_cast<int64_t>(resumed.go_to_resume_us());
  append_steps(resumed.steps(), context_.report.cutover.destination_steps);
  context_.observer.committed();
  context_.hook.run_noting(HookStage::committed, context_.hook_context());
  const bool ended = end_original();
  state_.leftovers.remove();
  state_.tree->links.hand_over();
  reach(FaultPoint::source_original_end);
  if (ended) record(JournalState::done, {});
  report_times(resumed, now_us);
  context_.hook.run_noting(HookStage::resumed, context_.hook_context());
  context_.observer.done(context_.report);
  return static_cast<int>(Outcome::moved);
}

// now_us: the time at which Resumed arrived.
void Commit::report_times(const wire::Resumed& resumed, int64_t now_us) {
  MigrationReport& report = context_.report;
  const wire::LinkStatistics statistics = context_.link->statistics();
  const auto resume_us = static_cast<int64_t>(resumed.go_to_resume_us());
  report.frozen_us = now_us - context_.began_us - report.cutover.start_us;
  report.downtime_us = resume_us > 0 ? stopped_us_ + resume_us : report.frozen_us;
  report.cutover.commit_us = now_us - go_us_ - report.cutover.resume_us;
  add_last_steps(resume_us, now_us);
  context_.end_phase(now_us);
  report.verify = context_.options.verify ? VerifyResult::ok : VerifyResult::off;
  report.compress = context_.options.compress;
  report.pages_sent = statistics.pages_raw + statistics.pages_zero + statistics.pages_compressed;
  report.bytes_raw = statistics.bytes_raw;
  report.bytes_wire = statistics.bytes_wire;
}

// The steps after Go. resume_us: as the destination has measured it; 0: the verdict came without it.
void Commit::add_last_steps(int64_t resume_us, int64_t now_us) {
  std::vector<Step>& steps = context_.report.cutover.stop_steps;
  if (resume_us > 0) {
    steps.push_back({"GO travels", half_trip_us_});
    steps.push_back({"resume", resume_us});
  } else {
    state_.stop->clock.lap("await resumed", now_us);
  }
}

int Commit::wait_for_exit() {
  std::string why = "crx-migrate was told to stop waiting";
  try {
    while (!stop_requested()) {
      const auto message = context_.link->receive(Deadline::in_ms(500));
      if (!message) continue;
      if (!message->has_exited()) throw Error(ErrorCode::peer, "waiting", context_.peer.name + " broke the protocol");
      context_.observer.exited(message->exited().wait_status());
      return 0;
    }
  } catch (const Error& error) {
    why = fmt::format("waiting for the program's end failed ({})", error.what());
  }
  context_.observer.wait_ended(why);
  return 0;
}

}  // namespace crx
