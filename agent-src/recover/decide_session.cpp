#include "agent-src/recover/decide_session.hpp"

#include <fmt/format.h>

#include <utility>

#include "agent-src/recover/ask_destination.hpp"
#include "agent-src/recover/open_session.hpp"
#include "common/base/error.hpp"

namespace crx {
namespace {

constexpr int64_t kAskMs = 5'000;

struct Answer {
  std::string state;  // empty: there is none
  std::string reason;
};

Answer ask_once(const ResolveRequest& request, const SourceSession& session) {
  try {
    const wire::SessionState state = ask_destination(request, session, Deadline::in_ms(kAskMs));
    return {state.state(), fmt::format("the destination says {}", state.state())};
  } catch (const Error& error) {
    return {{}, fmt::format("the destination did not answer: {}", error.what())};
  }
}

std::optional<DecisionProblem> adopt_problem(JournalState here, bool has_original, const std::string& there,
                                             const std::string& session) {
  if (here == JournalState::done) return DecisionProblem{"the process runs at the destination, and has left here", {}};
  if (here != JournalState::go) return std::nullopt;
  if (there == "RESUMED")
    return DecisionProblem{"the process runs at the destination; letting the original run would make two copies",
                           fmt::format("crx-migrate --resolve {} ends the original", session)};
  if (!has_original)
    return DecisionProblem{"the original has ended; there is nothing that could run on here",
                           fmt::format("crx-migrate --discard {} ends the session", session)};
  return std::nullopt;
}

std::optional<DecisionProblem> discard_problem(JournalState here, bool has_original, const std::string& there,
                                               const std::string& session) {
  const std::string hint = fmt::format("crx-migrate --adopt {} lets it run on; kill it then, if it is to end", session);
  if (here == JournalState::open)
    return DecisionProblem{"the move was not committed; ending the original would leave no copy", hint};
  if (here == JournalState::aborted)
    return DecisionProblem{"the process was not moved, and the original runs on here",
                           "kill it like any other process, if it is to end"};
  if (here == JournalState::go && has_original && (there == "NEVER" || there == "LOST"))
    return DecisionProblem{fmt::format("the destination says {}; ending the original would leave no copy", there),
                           hint};
  return std::nullopt;
}

}  // namespace

std::optional<DecisionProblem> find_problem(Decision decision, JournalState here, bool has_original,
                                            const std::string& there, const std::string& session) {
  const bool is_answer =
      there.empty() || there == "unknown" || there == "RESUMED" || there == "NEVER" || there == "LOST";
  if (here == JournalState::go && !is_answer)
    return DecisionProblem{fmt::format("the destination has not finished the session: it says {}", there),
                           fmt::format("crx-migrate --resolve {} waits until it has", session)};
  return decision == Decision::adopt ? adopt_problem(here, has_original, there, session)
                                     : discard_problem(here, has_original, there, session);
}

Resolution decide_session(const ResolveRequest& request, Decision decision) {
  OpenSession session = OpenSession::open(request.state_dir, request.session);
  const JournalState here = session.may_have_sent_go() ? JournalState::go : session.last().state;
  const Answer answer = here == JournalState::go ? ask_once(request, session.description()) : Answer{};
  if (const auto problem = find_problem(decision, here, session.has_original(), answer.state, request.session))
    throw Error(ErrorCode::refused, decision == Decision::adopt ? "adopting the original" : "discarding the original",
                problem->reason)
        .with_hint(problem->hint);
  if (const auto settled = session.settled()) return *settled;
  const std::string by_hand = decision == Decision::adopt ? "adopted by hand" : "discarded by hand";
  const std::string why = answer.reason.empty() ? by_hand : fmt::format("{}; {}", by_hand, answer.reason);
  if (decision == Decision::discard) {
    std::move(session).leave(why);
    return answer.state == "RESUMED" ? Resolution::moved : Resolution::discarded;
  }
  const bool ended = !session.has_original() && session.is_of_earlier_boot();
  std::move(session).stay(why);
  return ended ? Resolution::ended : Resolution::stays;
}

}  // namespace crx
