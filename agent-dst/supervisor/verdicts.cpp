#include "agent-dst/supervisor/verdicts.hpp"

#include "agent-dst/decided/finish_decided.hpp"
#include "common/base/error.hpp"
#include "common/base/journal.hpp"
#include "common/base/log.hpp"
#include "common/session/decided_tree.hpp"
#include "common/tool/fault_point.hpp"

namespace crx::supervisor {
namespace {

bool is_undecided(const JournalRecord& record) {
  return record.state == JournalState::open || record.state == JournalState::prepared;
}

// Whether RESUMING or RESUMED is in the journal, but not that the tree runs.
bool is_unfinished(const JournalRecord& record) {
  if (record.state != JournalState::resuming && record.state != JournalState::resumed) return false;
  const auto tree = parse_decided_tree(record.detail);
  return tree && !tree->runs;
}

// A crx-migrate of this host may keep its journals in the same directory.
bool is_of_destination(const std::vector<JournalRecord>& records) {
  return !records.empty() && records.front().detail.starts_with("from ");
}

Verdict to_verdict(const JournalRecord& record) {
  return {std::string(to_string(record.state)), record.detail, 0, true};
}

Verdict refuse(Journal& journal, const std::string& reason) {
  try {
    reach(FaultPoint::destination_settlement);
    journal.append(JournalState::never, reason);
    log::info("session {}: journalled NEVER: {}", journal.session(), reason);
    return to_verdict(*journal.last());
  } catch (const Error& error) {
    const std::optional<JournalRecord> last = journal.read_last();
    if (!last || !is_undecided(*last)) throw;
    log::error("session {}: NEVER cannot be journalled: {}", journal.session(), error.what());
    return {std::string(to_string(JournalState::never)), reason, 0, false};
  }
}

// The journal is locked, so no engine serves the session.
Verdict settle_open(Journal& journal, const std::string& reason) {
  if (is_undecided(*journal.last())) return refuse(journal, reason);
  if (!is_unfinished(*journal.last())) return to_verdict(*journal.last());
  const DecidedOutcome outcome = finish_decided(journal);
  if (!outcome.is_recorded) return {std::string(to_string(JournalState::lost)), outcome.why, 0, false};
  Verdict verdict = to_verdict(*journal.last());
  const auto tree = parse_decided_tree(verdict.detail);
  if (outcome.end == DecidedEnd::thawed && tree) verdict.thawed_root = tree->root;
  return verdict;
}

}  // namespace

Verdict read_verdict(const std::string& store, const std::string& session) {
  const auto records = read_journal(store, session);
  return is_of_destination(records) ? to_verdict(records.back()) : Verdict{"unknown", {}, 0, true};
}

bool is_unsettled(const Verdict& verdict) {
  if (!verdict.is_recorded) return true;
  const auto state = parse_journal_state(verdict.state);
  if (!state) return false;
  const JournalRecord record{*state, 0, {}, verdict.detail};
  return is_undecided(record) || is_unfinished(record);
}

Verdict settle(const std::string& store, const std::string& session, const std::string& reason) {
  const Verdict verdict = read_verdict(store, session);
  if (!is_unsettled(verdict)) return verdict;
  try {
    auto journal = Journal::open_existing(store, session);
    if (journal && journal->last()) return settle_open(*journal, reason);
  } catch (const Error& error) {
    log::warn("session {}: {}", session, error.what());
  }
  return read_verdict(store, session);
}

std::vector<std::string> settle_all(const std::string& store) {
  std::vector<std::string> unsettled;
  for (const std::string& session : list_journals(store)) {
    try {
      if (is_unsettled(settle(store, session, "crx-agent was restarted before the tree was resumed")))
        unsettled.push_back(session);
    } catch (const Error& error) {
      log::warn("session {}: {}", session, error.what());
    }
  }
  return unsettled;
}

}  // namespace crx::supervisor
