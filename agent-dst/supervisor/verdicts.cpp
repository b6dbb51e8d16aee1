#include "agent-dst/supervisor/verdicts.hpp"

#include "common/base/error.hpp"
#include "common/base/journal.hpp"
#include "common/base/log.hpp"

namespace crx::supervisor {
namespace {

Verdict to_verdict(const JournalRecord& record) {
  return {std::string(to_string(record.state)), record.detail};
}

bool undecided(const JournalRecord& record) {
  return record.state == JournalState::open || record.state == JournalState::prepared;
}

}  // namespace

Verdict read_verdict(const std::string& store, const std::string& session) {
  const auto records = read_journal(store, session);
  return records.empty() ? Verdict{"unknown", {}} : to_verdict(records.back());
}

Verdict settle(const std::string& store, const std::string& session, const std::string& reason) {
  const auto records = read_journal(store, session);
  if (records.empty()) return {"unknown", {}};
  if (!undecided(records.back())) return to_verdict(records.back());
  try {
    auto journal = Journal::open_existing(store, session);
    if (journal && journal->last() && undecided(*journal->last())) {
      journal->append(JournalState::never, reason);
      log::info("session {}: journalled NEVER: {}", session, reason);
    }
  } catch (const Error& error) {
    log::warn("session {}: {}", session, error.what());
  }
  return read_verdict(store, session);
}

void settle_all(const std::string& store) {
  for (const std::string& session : list_journals(store)) {
    try {
      const Verdict verdict = settle(store, session, "crx-agent was restarted before the tree was resumed");
      if (verdict.state == "RESUMING") {
        log::warn(
            "session {}: an earlier agent ended while it resumed the tree; check whether the tree runs on this host "
            "before you thaw the source",
            session);
      }
    } catch (const Error& error) {
      log::warn("session {}: {}", session, error.what());
    }
  }
}

}  // namespace crx::supervisor
