#include "agent-src/settle/killed_worker.hpp"

#include <fmt/format.h>

#include <string>
#include <vector>

#include "agent-src/recover/in_doubt.hpp"
#include "agent-src/recover/resolve_session.hpp"
#include "common/base/journal.hpp"
#include "common/base/log.hpp"
#include "common/session/source_session.hpp"

namespace crx {
namespace {

constexpr char kUnharmed[] = "the process runs on here";

Outcome fail(const MigrateOptions& options, Outcome outcome, const std::string& message, ObserverList& observers) {
  observers.failed({outcome, options.session, options.pid, message, ErrorCode::kernel});
  return outcome;
}

// The guard and an agent of this host may have settled the session meanwhile, or settle it right now.
void settle_undecided(const MigrateOptions& options) {
  try {
    resolve_session({options.state_dir, options.session, std::nullopt, {}, {}, {}});
  } catch (const Error& error) {
    log::debug("session {}: {}", options.session, error.what());
  }
}

Outcome conclude(const MigrateOptions& options, const std::string& how, ObserverList& observers) {
  std::vector<JournalRecord> records = read_journal(options.state_dir, options.session);
  if (!records.empty() && records.back().state == JournalState::open) {
    settle_undecided(options);
    records = read_journal(options.state_dir, options.session);
  }
  if (records.empty() || records.back().state == JournalState::aborted)
    return fail(options, Outcome::failed, fmt::format("{}; {}", how, kUnharmed), observers);
  if (records.back().state == JournalState::done) {
    log::error("session {}: {} after the process had moved", options.session, how);
    return Outcome::moved;
  }
  const auto description = find_source_session(records);
  const std::string kept = description ? describe_kept(*description, options.session) : std::string();
  if (records.back().state == JournalState::go) {
    return fail(
        options, Outcome::in_doubt,
        fmt::format("{} after GO; {} may or may not have resumed the process; {}", how, options.to.text(), kept),
        observers);
  }
  return fail(options, Outcome::in_doubt, fmt::format("{}, and its session cannot be ended; {}", how, kept), observers);
}

}  // namespace

Outcome conclude_killed(const MigrateOptions& options, int signal, ObserverList& observers) noexcept {
  const std::string how = fmt::format("moving the process: the worker of crx-migrate was killed by signal {}", signal);
  try {
    return conclude(options, how, observers);
  } catch (const std::exception& error) {
    return fail(options, Outcome::in_doubt,
                fmt::format("{}, and the journal of session {} cannot be read: {}", how, options.session, error.what()),
                observers);
  }
}

}  // namespace crx
