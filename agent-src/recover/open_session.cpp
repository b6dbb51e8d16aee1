#include "agent-src/recover/open_session.hpp"

#include <fmt/format.h>

#include <utility>
#include <vector>

#include "common/base/backoff.hpp"
#include "common/base/clock.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/kernel/process/thawed_groups.hpp"
#include "common/kernel/sockets/packet_filter.hpp"
#include "common/session/held_locks.hpp"
#include "common/session/session_list.hpp"
#include "common/tool/fault_point.hpp"

namespace crx {
namespace {

constexpr char kSettleStep[] = "settling a session";
constexpr int64_t kLockMs = 500;

// A process that has lost its locks may write what another process writes.
[[noreturn]] void refuse_locks(const SourceSession& session, const std::string& why) {
  throw Error(ErrorCode::refused, kSettleStep,
              "the process could run on here, but its file locks were released, and " + why)
      .with_pid(session.pid)
      .with_hint(fmt::format("make sure that no other process uses its locked files, then thaw {}", session.group));
}

// Returns nothing if another process works on the session. An agent that only looks at it locks it for a moment, too.
std::optional<Journal> lock_journal(const std::string& state_dir, const std::string& session) {
  const Deadline deadline = Deadline::in_ms(kLockMs);
  for (Backoff backoff;; backoff.wait()) {
    try {
      return Journal::open_existing(state_dir, session);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::refused) throw;
      if (deadline.passed()) return std::nullopt;
    }
  }
}

std::optional<KeptOriginal> find_original(const Journal& journal, const SourceSession& description) {
  const JournalRecord& last = *journal.last();
  if (is_final(last.state) || last.boot_id != read_boot_id()) return std::nullopt;
  return KeptOriginal::find(description);
}

// Removes the nftables table that keeps packets of the original's connections blocked, if there is one.
void release_packets(const std::string& session) noexcept {
  const std::string table = kept_table_name(session);
  try {
    PacketFilter().remove_table(table);
  } catch (const std::exception& error) {
    log::debug("cannot remove the packet filter's table {}: {}", table, error.what());
  }
}

[[noreturn]] void refuse_use(const std::string& state_dir, const std::string& session) {
  const std::optional<SessionHolder> holder = find_holder(state_dir, session);
  throw Error(ErrorCode::refused, kSettleStep,
              holder ? fmt::format("{} (pid {}) works on session {}", holder->comm, holder->pid, session)
                     : fmt::format("another process works on session {}", session))
      .with_hint("wait until it has ended, or end it with SIGTERM; the original stays as it is");
}

}  // namespace

OpenSession::OpenSession(Journal journal, SourceSession description)
    : journal_(std::move(journal)),
      description_(std::move(description)),
      original_(find_original(journal_, description_)) {}

OpenSession OpenSession::open(const std::string& state_dir, const std::string& session) {
  const std::vector<JournalRecord> records = read_journal(state_dir, session);
  if (records.empty())
    throw Error(ErrorCode::refused, kSettleStep, "there is no session " + session + " below " + state_dir)
        .with_hint("crx-migrate --list --all shows the sessions; is --state right?");
  if (!find_source_session(records))
    throw Error(ErrorCode::refused, kSettleStep, "this host is not the source of session " + session)
        .with_hint("a crx-agent of this host settles it by itself; at the source use crx-migrate --resolve");
  std::optional<Journal> journal = lock_journal(state_dir, session);
  if (!journal) refuse_use(state_dir, session);
  SourceSession description = *find_source_session(journal->records());
  return {std::move(*journal), std::move(description)};
}

std::optional<Resolution> OpenSession::settled() const {
  if (last().state == JournalState::done) return Resolution::moved;
  if (last().state == JournalState::aborted) return Resolution::stays;
  return std::nullopt;
}

void OpenSession::stay(const std::string& why) && {
  const std::vector<HeldLock> locks = find_held_locks(journal_.records());
  if (original_ && locks.empty() && last().detail == kReleasedLocks && original_->is_frozen())
    refuse_locks(description_, "they were too many for its journal");
  try {
    if (original_) std::move(*original_).resume(locks);
  } catch (const Error& error) {
    if (locks.empty()) throw;
    refuse_locks(description_, error.what());
  }
  release_packets(journal_.session());
  freeze_again(description_.thawed);  // crx-migrate had thawed them for the move
  reach(FaultPoint::source_final_record);
  journal_.append(JournalState::aborted, why);
}

void OpenSession::leave(const std::string& why) && {
  if (original_) std::move(*original_).end();
  release_packets(journal_.session());
  freeze_again(description_.thawed);  // crx-migrate had thawed them for the move
  reach(FaultPoint::source_final_record);
  journal_.append(JournalState::done, why);
}

}  // namespace crx
