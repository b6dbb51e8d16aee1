#include "agent-src/recover/resolve_session.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "agent-src/recover/ask_destination.hpp"
#include "agent-src/recover/open_session.hpp"
#include "common/base/clock.hpp"
#include "common/base/error.hpp"
#include "common/base/journal.hpp"
#include "common/session/source_session.hpp"

namespace crx {
namespace {

constexpr int64_t kFirstPauseMs = 500;
constexpr int64_t kLongestPauseMs = 15'000;
constexpr int64_t kQueryMs = 5'000;

// Sleeps in short steps. Returns false if the caller is to stop.
bool pause(int64_t pause_ms, const std::function<bool()>& stop) {
  for (const Deadline end = Deadline::in_ms(pause_ms); !end.passed(); ::usleep(50'000)) {
    if (stop && stop()) return false;
  }
  return !(stop && stop());
}

// Returns the destination's last record once it is final; nothing if the caller is to stop. may_be_unknown: the session
// may never have come so far that the destination would have to know it.
std::optional<wire::SessionState> ask(const ResolveRequest& request, const SourceSession& session,
                                      bool may_be_unknown) {
  for (int64_t pause_ms = kFirstPauseMs;; pause_ms = std::min(pause_ms * 2, kLongestPauseMs)) {
    std::string reason;
    try {
      wire::SessionState state = ask_destination(request, session, Deadline::in_ms(kQueryMs));
      if (state.state() == "RESUMED" || state.state() == "NEVER" || state.state() == "LOST") return state;
      if (may_be_unknown && state.state() == "unknown") return state;
      reason = fmt::format("{} says {}", request.to.value_or(session.to).text(), state.state());
    } catch (const Error& error) {
      reason = error.what();
    }
    if (request.waits) request.waits(reason);
    if (!pause(pause_ms, request.stop)) return std::nullopt;
  }
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
  std::optional<OpenSession> opened(OpenSession::open(request.state_dir, request.session));
  if (const auto settled = opened->settled()) return *settled;
  if (!opened->may_have_sent_go()) {
    std::move(*opened).stay("crx-migrate ended before the process was moved");
    return Resolution::stays;
  }
  // Nobody else is kept from acting while this waits for an answer: whoever has one takes the lock.
  const SourceSession description = opened->description();
  const bool may_be_unknown = opened->last().state == JournalState::open;
  opened.reset();
  const std::optional<wire::SessionState> state = ask(request, description, may_be_unknown);
  if (!state) return Resolution::unresolved;
  opened.emplace(OpenSession::open(request.state_dir, request.session));
  if (const auto settled = opened->settled()) return *settled;
  if (state->state() == "RESUMED") {
    std::move(*opened).leave("resolved");
    return Resolution::moved;
  }
  const bool is_here = opened->has_original();
  std::move(*opened).stay(fmt::format("the destination says {}: {}", state->state(), state->detail()));
  return is_here ? Resolution::stays : Resolution::ended;
}

}  // namespace crx
