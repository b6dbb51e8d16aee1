#include "agent-dst/decided/finish_decided.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <vector>

#include "common/base/backoff.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/base/scope_exit.hpp"
#include "common/kernel/process/freezer_group.hpp"
#include "common/kernel/process/pidfd.hpp"
#include "common/proc/proc_dir.hpp"
#include "common/proc/status.hpp"
#include "common/session/decided_tree.hpp"
#include "common/tool/fault_point.hpp"

namespace crx {
namespace {

constexpr char kFinishStep[] = "finishing a decided session";
constexpr int64_t kSettleMs = 2'000;

std::optional<proc::Status> status_of(pid_t pid) {
  const std::optional<ProcDir> process = ProcDir::open(pid);
  return process ? process->status() : std::nullopt;
}

// The kernel kills the processes that the engine traced, but some time after it has released the engine's locks, and a
// process that it kills stays in the group for a while (exit_ptrace() in kernel/ptrace.c, get_signal() in
// kernel/signal.c). Such a process is traced; or it has SIGKILL pending; or it has taken the signal and runs towards
// its end. The tracer is read first: a process that is seen without one has its SIGKILL already, if it gets one.
bool rests(pid_t pid) {
  const std::optional<proc::Status> before = status_of(pid);
  if (!before || before->tracer_pid != 0) return false;
  const std::optional<proc::Status> after = status_of(pid);
  constexpr uint64_t kKill = uint64_t{1} << (SIGKILL - 1);
  return after && ((after->pending | after->shared_pending) & kKill) == 0 && after->state != 'R' &&
         after->state != 'Z' && after->state != 'X';
}

// Returns the processes of the group once each of them is frozen and none of them is about to die.
std::vector<pid_t> settled_members(const FreezerGroup& group) {
  const Deadline deadline = Deadline::in_ms(kSettleMs);
  for (Backoff backoff;; backoff.wait()) {
    std::vector<pid_t> members = group.members();
    const auto restless = std::find_if_not(members.begin(), members.end(), rests);
    if (restless == members.end() && (members.empty() || group.is_frozen()) && group.members() == members)
      return members;
    if (deadline.passed()) {
      throw Error(ErrorCode::kernel, kFinishStep, "a process is traced by another process, or does not end")
          .with_pid(restless == members.end() ? 0 : *restless);
    }
  }
}

void end_all(FreezerGroup& group, const std::vector<pid_t>& members) {
  const Deadline deadline = Deadline::in_ms(kSettleMs);
  std::vector<Fd> pidfds;
  for (const pid_t pid : members) {
    pidfds.push_back(open_pidfd(pid));
    send_signal(pidfds.back().get(), SIGKILL);
  }
  group.thaw();
  for (const Fd& pidfd : pidfds) {
    if (!wait_exit(pidfd.get(), deadline)) throw Error(ErrorCode::kernel, kFinishStep, "a process does not end");
  }
}

DecidedOutcome run(Journal& journal, FreezerGroup& group, const DecidedTree& tree) {
  reach(FaultPoint::destination_settlement);
  if (journal.last()->state == JournalState::resuming) journal.append(JournalState::resumed, to_detail(tree));
  if (!tree.stay_frozen) group.thaw();
  journal.append(JournalState::resumed, to_detail({tree.root, tree.processes, tree.group, true, tree.stay_frozen}));
  log::info("session {}: its engine had ended; the tree is here now{}, root pid {}", journal.session(),
            tree.stay_frozen ? ", and stays frozen in the control group " + group.path() : "", tree.root);
  return {DecidedEnd::thawed, {}, true};
}

DecidedOutcome lose(Journal& journal, const std::string& why) {
  DecidedOutcome outcome{DecidedEnd::lost, why, true};
  try {
    reach(FaultPoint::destination_settlement);
    journal.append(JournalState::lost, why);
  } catch (const Error& error) {
    outcome.is_recorded = false;
    log::error("session {}: LOST cannot be journalled: {}", journal.session(), error.what());
  }
  log::warn("session {}: {}; the source may resume the original", journal.session(), why);
  return outcome;
}

// Finishes a tree whose group is gone, as after a reboot.
DecidedOutcome finish_gone(Journal& journal, const DecidedTree& tree) {
  if (journal.last()->state != JournalState::resumed) return lose(journal, "the tree has ended before it ran");
  journal.append(JournalState::resumed, to_detail({tree.root, tree.processes, tree.group, true, tree.stay_frozen}));
  return {};
}

}  // namespace

DecidedOutcome finish_decided(Journal& journal) {
  const JournalRecord last = *journal.last();
  const bool is_resumed = last.state == JournalState::resumed;
  const std::optional<DecidedTree> tree = parse_decided_tree(last.detail);
  if (!tree) throw Error(ErrorCode::corrupt_image, kFinishStep, fmt::format("{} is unknown", last.detail));
  if (tree->runs) return {};
  if (last.boot_id != read_boot_id() || ::access(tree->group.c_str(), F_OK) != 0) return finish_gone(journal, *tree);
  FreezerGroup group = FreezerGroup::open_existing(tree->group);
  ScopeExit keep([&group] { group.abandon(); });
  // All were released before RESUMED was written.
  const std::vector<pid_t> members = is_resumed ? group.members() : settled_members(group);
  if (is_resumed || members.size() == tree->processes) return run(journal, group, *tree);
  end_all(group, members);
  if (::rmdir(tree->group.c_str()) != 0) log::debug("{} stays", tree->group);
  return lose(journal, fmt::format("{} of the {} processes had ended before the tree ran",
                                   tree->processes - members.size(), tree->processes));
}

}  // namespace crx
