// The two-phase commit as the source does it, and what follows the verdict.
#include <fmt/format.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "agent-src/collect/files/file_locks.hpp"
#include "agent-src/migrate/migration.hpp"
#include "agent-src/tool/worker.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/base/step_clock.hpp"
#include "common/kernel/process/pidfd.hpp"

namespace crx {
namespace {

constexpr int64_t kVerdictMs = 60'000;
constexpr int64_t kAskAgainMs = 500;

}  // namespace

// From here on the group holds the original, whoever dies.
int Migration::commit(FrozenTree& tree, TreeLocks& locks) {
  StepClock clock(report_.cutover.source_steps);
  locks.begin();
  group_->freeze(Deadline::in_ms(options_.freeze_timeout_ms));
  clock.lap("freeze group");
  int64_t go_us = 0;
  journal_.append(JournalState::go, peer_);
  clock.lap("journal GO");
  decided_ = true;
  std::optional<wire::Resumed> resumed;
  std::string why;
  try {
    locks.complete();
    wire::SessionMessage go;
    go.mutable_go();
    go_us = monotonic_us();
    link_->send(go);
    resumed = await_verdict(tree, locks, Deadline::in_ms(kVerdictMs), why);
    clock.lap("await resumed");
    if (!resumed) why = peer_ + " has decided not to resume it" + (why.empty() ? "" : ": " + why);
  } catch (const Error& error) {
    why = error.what();
    log::warn("after GO: {}", why);
    locks.given_up();
    packets_.leave_installed();
    const std::string whether = fmt::format("{} may or may not have resumed the process", peer_);
    std::string original = "the original has ended";
    if (group_) {
      group_->abandon();
      original = fmt::format("the original is kept frozen in cgroup {}; settle it with crx-migrate --resolve {}",
                             group_->path(), session_);
    }
    observer_.failed({Outcome::in_doubt, session_, options_.pid, fmt::format("committing: {}; {}", whether, original),
                      error.code()});
    return static_cast<int>(Outcome::in_doubt);
  }
  if (resumed) {
    locks.given_up();
    return finish(tree, *resumed, go_us);
  }
  if (!take_back(locks)) return static_cast<int>(Outcome::in_doubt);
  journal_.append(JournalState::aborted, why);
  tree.thaw();
  hook_.run_noting(HookStage::aborted, hook_context());
  observer_.failed({Outcome::failed, session_, options_.pid, "committing: " + why, ErrorCode::peer});
  return static_cast<int>(Outcome::failed);
}

// After NEVER: the group is thawed, the tree still stopped. False: somebody else has a lock of it now, so it must not
// run.
bool Migration::take_back(TreeLocks& locks) {
  group_->thaw();
  try {
    locks.take_back();
    return true;
  } catch (const Error& error) {
    locks.given_up();
    group_->freeze(Deadline::in_ms(options_.freeze_timeout_ms));
    group_->abandon();
    observer_.failed(
        {Outcome::in_doubt, session_, options_.pid,
         fmt::format("committing: {} did not resume the process, and {}; the process is kept frozen here in "
                     "cgroup {}",
                     peer_, error.what(), group_->path()),
         error.code()});
    return false;
  }
}

// RESUMED, or nothing for NEVER, and `why` then as far as it is known. Asks by session id when the connection is lost.
// On Decided the original ends, and NEVER is no verdict any more.
std::optional<wire::Resumed> Migration::await_verdict(FrozenTree& tree, TreeLocks& locks, Deadline deadline,
                                                      std::string& why) {
  try {
    for (;;) {
      const auto message = link_->receive(deadline);
      if (!message) break;
      if (message->has_resumed()) return message->resumed();
      if (message->has_never() && group_) {
        why = message->never().reason();
        return std::nullopt;
      }
      if (message->has_decided()) {
        locks.given_up();
        end_original(tree);
        link_->send(*message);
      }
    }
  } catch (const Error& error) {
    log::warn("waiting for the verdict: {}", error.what());
  }
  for (std::string last = "no answer";;) {
    try {
      const wire::SessionState state = wire::query_session(connect_options(), Deadline::in_ms(5'000));
      last = state.state();
      if (last == "RESUMED") return wire::Resumed();
      if (last == "NEVER" && group_) return std::nullopt;
    } catch (const Error& error) {
      log::debug("asking {}: {}", peer_, error.what());
    }
    if (deadline.passed()) {
      throw Error(ErrorCode::peer, "committing", fmt::format("{} gives no verdict ({})", peer_, last));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(kAskAgainMs));
  }
}

// It is still frozen when SIGKILL reaches it: not one instruction of it runs any more.
void Migration::remove_original(FrozenTree& tree) noexcept {
  try {
    std::vector<Fd> pidfds;
    for (const auto& task : tree.tasks()) pidfds.push_back(duplicate(task->pidfd()));
    packets_.close_silently();
    tree.thaw();
    for (const Fd& pidfd : pidfds) send_signal(pidfd.get(), SIGKILL);
    group_->thaw();
    const Deadline deadline = Deadline::in_ms(10'000);
    for (const Fd& pidfd : pidfds) {
      if (!wait_exit(pidfd.get(), deadline)) log::warn("the original does not go away");
    }
    packets_.unblock();
    const std::string group = group_->path();
    group_.reset();
    // It may have lived in the group that an agent made for it here, when it came.
    const std::string home = group.substr(0, group.rfind('/'));
    if (home.substr(home.rfind('/') + 1).starts_with("crx-")) ::rmdir(home.c_str());
  } catch (const std::exception& error) {
    log::warn("removing the original: {}", error.what());
  }
}

// The unit goes first: else it would start the program again.
void Migration::end_original(FrozenTree& tree) noexcept {
  if (!group_) return;
  if (unit_ && options_.unit == UnitPolicy::stop) stop_unit(*unit_);
  remove_original(tree);
}

int Migration::finish(FrozenTree& tree, const wire::Resumed& resumed, int64_t go_us) {
  const int64_t now_us = monotonic_us();
  const int64_t stop_us = began_us_ + report_.cutover.start_us;
  report_.cutover.resume_us = static_cast<int64_t>(resumed.go_to_resume_us());
  for (const wire::Step& step : resumed.steps()) {
    report_.cutover.destination_steps.push_back({step.name(), static_cast<int64_t>(step.us())});
  }
  observer_.committed();
  hook_.run_noting(HookStage::committed, hook_context());
  end_original(tree);
  ipc_leftovers_.remove();
  links_.hand_over();
  journal_.append(JournalState::done);
  const wire::LinkStatistics statistics = link_->statistics();
  report_.frozen_us = now_us - stop_us;
  report_.downtime_us = resumed.go_to_resume_us() > 0
                            ? go_us - stop_us + statistics.rtt_us / 2 + static_cast<int64_t>(resumed.go_to_resume_us())
                            : report_.frozen_us;
  report_.cutover.commit_us = now_us - go_us - report_.cutover.resume_us;
  report_.total_us = now_us - began_us_;
  report_.verify = options_.verify ? VerifyResult::ok : VerifyResult::off;
  report_.compress = options_.compress;
  report_.pages_sent = statistics.pages_raw + statistics.pages_zero + statistics.pages_compressed;
  report_.bytes_raw = statistics.bytes_raw;
  report_.bytes_wire = statistics.bytes_wire;
  hook_.run_noting(HookStage::resumed, hook_context());
  observer_.done(report_);
  return static_cast<int>(Outcome::moved);
}

int Migration::wait_for_exit() {
  for (;;) {
    check_stop();
    const auto message = link_->receive(Deadline::in_ms(500));
    if (message && message->has_exited()) {
      observer_.exited(message->exited().wait_status());
      return 0;
    }
  }
}

}  // namespace crx
