#include "agent-dst/supervisor/unfinished.hpp"

#include <algorithm>
#include <vector>

#include "agent-dst/supervisor/children.hpp"
#include "common/base/error.hpp"
#include "common/base/journal.hpp"
#include "common/base/log.hpp"

namespace crx::supervisor {

Unfinished::Unfinished(const AgentOptions& options, const SourceRecovery& recovery, const sigset_t& mask)
    : options_(options), recovery_(recovery), mask_(mask) {
  for (const std::string& session : settle_all(options.store)) unsettled_.insert(session);
}

void Unfinished::look(const std::function<bool(const std::string&)>& is_live,
                      const std::function<void(const std::string&, const Verdict&)>& settled) noexcept {
  std::erase_if(unsettled_, [&](const std::string& session) {
    if (is_live(session)) return true;
    if (is_postponed(session)) return false;
    try {
      const Verdict verdict = settle(options_.store, session, "no engine serves this session any more");
      if (is_unsettled(verdict)) {
        failed_.insert_or_assign(session, Deadline::in_ms(kSettleAgainMs));
        return false;
      }
      settled(session, verdict);
      return true;
    } catch (const std::exception& error) {
      log::warn("session {}: {}", session, error.what());
      return false;
    }
  });
  if (recovery_.is_left) take_over();
}

void Unfinished::take_over() noexcept {
  try {
    std::set<std::string> finished;
    for (const std::string& session : list_journals(options_.state)) {
      const auto has_child = [&](const auto& child) { return child.second == session; };
      if (std::any_of(children_.begin(), children_.end(), has_child)) continue;
      if (is_postponed(session)) continue;
      if (finished_.contains(session)) {
        finished.insert(session);
        continue;
      }
      const std::vector<JournalRecord> records = read_journal(options_.state, session);
      if (records.empty()) continue;  // its first record is being written
      if (is_final(records.back().state)) {
        finished.insert(session);
      } else if (recovery_.is_left(options_.state, session)) {
        log::info("session {}: its crx-migrate has ended; crx-agent finishes it", session);
        children_[fork_recovery(options_, recovery_, session, mask_)] = session;
      }
    }
    finished_ = std::move(finished);
  } catch (const std::exception& error) {
    log::warn("looking for unfinished sessions: {}", error.what());
  }
}

bool Unfinished::is_postponed(const std::string& session) const {
  const auto failed = failed_.find(session);
  return failed != failed_.end() && !failed->second.passed();
}

bool Unfinished::reaped(pid_t pid, int status) {
  const auto child = children_.find(pid);
  if (child == children_.end()) return false;
  if (status != 0) failed_.insert_or_assign(child->second, Deadline::in_ms(kRetryMs));
  children_.erase(child);
  return true;
}

}  // namespace crx::supervisor
