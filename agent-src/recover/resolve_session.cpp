#include "agent-src/recover/resolve_session.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "agent-src/recover/kept_original.hpp"
#include "agent-src/recover/source_session.hpp"
#include "common/base/clock.hpp"
#include "common/base/error.hpp"
#include "common/base/journal.hpp"
#include "common/base/log.hpp"
#include "wire/source/connect.hpp"

namespace crx {
namespace {

constexpr char kResolveStep[] = "resolving a session";
constexpr int64_t kFirstPauseMs = 500;
constexpr int64_t kLongestPauseMs = 15'000;
constexpr int64_t kQueryMs = 10'000;

// Sleeps in short steps. Returns false if the caller is to stop.
bool pause(int64_t pause_ms, const std::function<bool()>& stop) {
  for (const Deadline end = Deadline::in_ms(pause_ms); !end.passed(); ::usleep(50'000)) {
    if (stop && stop()) return false;
  }
  return !(stop && stop());
}

// Returns the destination's last record once it is final; nothing if the caller is to stop.
std::optional<wire::SessionState> ask(const ResolveRequest& request, const SourceSession& session) {
  wire::ConnectOptions connect;
  connect.to = request.to.value_or(session.to);
  connect.tls_dir = request.tls_dir.empty() ? session.tls_dir : request.tls_dir;
  connect.tls_crl = session.tls_crl;
  connect.session = request.session;
  for (int64_t pause_ms = kFirstPauseMs;; pause_ms = std::min(pause_ms * 2, kLongestPauseMs)) {
    std::string reason;
    try {
      wire::SessionState state = wire::query_session(connect, Deadline::in_ms(kQueryMs));
      if (state.state() == "RESUMED" || state.state() == "NEVER" || state.state() == "LOST") return state;
      reason = fmt::format("{} says {}", connect.to.text(), state.state());
    } catch (const Error& error) {
      reason = error.what();
    }
    if (request.waits) request.waits(reason);
    if (!pause(pause_ms, request.stop)) return std::nullopt;
  }
}

void stay(Journal& journal, std::optional<KeptOriginal> original, const std::string& why) {
  if (original) std::move(*original).resume();
  journal.append(JournalState::aborted, why);
}

// A process that has lost its locks may write what another process writes.
[[noreturn]] void refuse_locks(const SourceSession& session) {
  throw Error(ErrorCode::refused, kResolveStep,
              "the destination does not run the process, but its file locks were released and only crx-migrate could "
              "have taken them back")
      .with_pid(session.pid)
      .with_hint(fmt::format("make sure that no other process uses its locked files, then thaw {}", session.group));
}

}  // namespace

bool is_left_unfinished(const std::string& state_dir, const std::string& session) {
  const std::vector<JournalRecord> records = read_journal(state_dir, session);
  if (records.empty()) return false;
  const JournalState last = records.back().state;
  if ((last != JournalState::open && last != JournalState::go) || !find_source_session(records)) return false;
  return !Journal::is_in_use(state_dir, session);
}

Resolution resolve_session(const ResolveRequest& request) {
  std::optional<Journal> journal = Journal::open_existing(request.state_dir, request.session);
  if (!journal || !journal->last()) throw Error(ErrorCode::refused, kResolveStep, "there is no such session here");
  const std::optional<SourceSession> session = find_source_session(journal->records());
  if (!session) throw Error(ErrorCode::refused, kResolveStep, "this host is not the source of this session");
  const JournalRecord last = *journal->last();
  if (last.state == JournalState::done) return Resolution::moved;
  if (last.state == JournalState::aborted) return Resolution::stays;
  const bool rebooted = last.boot_id != read_boot_id();
  std::optional<KeptOriginal> original = rebooted ? std::nullopt : KeptOriginal::find(*session, request.session);
  if (last.state == JournalState::open) {
    stay(*journal, std::move(original), "crx-migrate ended before the process was moved");
    return rebooted ? Resolution::ended : Resolution::stays;
  }
  const std::optional<wire::SessionState> state = ask(request, *session);
  if (!state) return Resolution::unresolved;
  if (state->state() != "RESUMED") {
    const bool is_here = original.has_value();
    if (is_here && last.detail == kReleasedLocks) refuse_locks(*session);
    stay(*journal, std::move(original), fmt::format("the destination says {}: {}", state->state(), state->detail()));
    return is_here ? Resolution::stays : Resolution::ended;
  }
  if (original) std::move(*original).end();
  journal->append(JournalState::done, "resolved");
  return Resolution::moved;
}

}  // namespace crx
