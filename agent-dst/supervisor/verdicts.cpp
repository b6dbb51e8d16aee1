#include "agent-dst/supervisor/verdicts.hpp"

#include "agent-dst/decided/finish_decided.hpp"
#include "common/base/error.hpp"
#include "common/base/journal.hpp"
#include "common/base/log.hpp"
#include "common/session/decided_tree.hpp"

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
  return {std::string(to_string(record.state)), record.detail, 0};
}

// Returns the root of a tree that was let run; otherwise 0.
pid_t settle_open(Journal& journal, const std::string& reason) {
  if (!journal.last()) return 0;
  if (is_undecided(*journal.last())) {
    journal.append(JournalState::never, reason);
    log::info("session {}: journalled NEVER: {}", journal.session(), reason);
  } else if (is_unfinished(*journal.last()) && finish_decided(journal)) {
    const auto tree = parse_decided_tree(journal.last()->detail);
    return tree ? tree->root : 0;
  }
  return 0;
}

}  // namespace

Verdict read_verdict(const std::string& store, const std::string& session) {
  const auto records = read_journal(store, session);
  return is_of_destination(records) ? to_verdict(records.back()) : Verdict{"unknown", {}, 0};
}

bool is_unsettled(const Verdict& verdict) {
  const auto state = parse_journal_state(verdict.state);
  if (!state) return false;
  const JournalRecord record{*state, 0, {}, verdict.detail};
  return is_undecided(record) || is_unfinished(record);
}

Verdict settle(const std::string& store, const std::string& session, const std::string& reason) {
  Verdict verdict = read_verdict(store, session);
  if (!is_unsettled(verdict)) return verdict;
  pid_t root = 0;
  try {
    if (auto journal = Journal::open_existing(store, session)) root = settle_open(*journal, reason);
  } catch (const Error& error) {
    log::warn("session {}: {}", session, error.what());
  }
  verdict = read_verdict(store, session);
  verdict.thawed_root = root;
  return verdict;
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
