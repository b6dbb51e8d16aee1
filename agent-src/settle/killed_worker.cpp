#include "agent-src/settle/killed_worker.hpp"

#include <fmt/format.h>

#include <string>
#include <vector>

#include "agent-src/recover/in_doubt.hpp"
#include "agent-src/recover/resolve_session.hpp"
#include "common/base/backoff.hpp"
#include "common/base/clock.hpp"
#include "common/base/journal.hpp"
#include "common/base/log.hpp"
#include "common/session/source_session.hpp"

namespace crx {
namespace {

constexpr int64_t kSettleMs = 5'000;
constexpr char kUnharmed[] = "the process runs on here";

Outcome fail(const MigrateOptions& options, Outcome outcome, const std::string& message, ObserverList& observers) {
  observers.failed({outcome, options.session, options.pid, message, ErrorCode::kernel});
  return outcome;
}

bool is_open(const std::vector<JournalRecord>& records) {
  return !records.empty() && records.back().state == JournalState::open;
}

// Settles a session without GO. An agent of this host may be doing the same. Returns the records after that; why: the
// error, if it cannot be settled.
std::vector<JournalRecord> settle_undecided(const MigrateOptions& options, std::string& why) {
  const Deadline deadline = Deadline::in_ms(kSettleMs);
  for (Backoff backoff;; backoff.wait()) {
    std::vector<JournalRecord> records = read_journal(options.state_dir, options.session);
    if (!is_open(records) || deadline.passed()) return records;
    try {
      resolve_session({options.state_dir, options.session, std::nullopt, {}, {}, {}});
    } catch (const Error& error) {
      why = error.what();
    }
  }
}

Outcome conclude(const MigrateOptions& options, const std::string& how, ObserverList& observers) {
  std::string why;
  const std::vector<JournalRecord> records = settle_undecided(options, why);
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
  return fail(options, Outcome::in_doubt, fmt::format("{}; {}; {}", how, why, kept), observers);
}

}  // namespace

bool is_concluded(const MigrateOptions& options) noexcept {
  try {
    const std::vector<JournalRecord> records = read_journal(options.state_dir, options.session);
    return !records.empty() && is_final(records.back().state);
  } catch (const std::exception& error) {
    log::warn("session {}: {}", options.session, error.what());
    return false;
  }
}

Outcome conclude_killed(const MigrateOptions& options, const KilledWorker& worker, ObserverList& observers) noexcept {
  const std::string how =
      worker.gave_up
          ? std::string(
                "moving the process: crx-migrate was to stop and did not, perhaps since a file of the process lies on "
                "storage that does not answer; its worker was killed")
          : fmt::format("moving the process: the worker of crx-migrate was killed by signal {}", worker.signal);
  try {
    return conclude(options, how, observers);
  } catch (const std::exception& error) {
    return fail(options, Outcome::in_doubt,
                fmt::format("{}, and the journal of session {} cannot be read: {}", how, options.session, error.what()),
                observers);
  }
}

}  // namespace crx
