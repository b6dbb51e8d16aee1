// A human's decision about the original of a session that is in doubt.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "agent-src/recover/resolve_session.hpp"
#include "common/base/journal.hpp"

namespace crx {

enum class Decision : uint8_t {
  adopt,    // the original runs on here
  discard,  // the original ends
};

// Why a decision is not taken: the reason, and the command that may follow.
struct DecisionProblem {
  std::string reason, hint;
};

// The rules. `here`: the last record of the source. has_original: it is kept frozen here. `there`: the last record of
// the destination, "unknown" if it has no such session, empty if it cannot be asked.
//
//   here      there                      adopt                        discard
//   OPEN      (is not asked)             allowed                      refused: the only copy
//   GO        RESUMED                    refused: would make two      allowed
//   GO        NEVER, LOST                allowed                      refused: the only copy
//   GO        OPEN, PREPARED, RESUMING   refused: not decided there   refused: not decided there
//   GO        unknown, or no answer      allowed                      allowed
//   DONE      (is not asked)             refused: would make two      nothing to do
//   ABORTED   (is not asked)             nothing to do                refused: the only copy
//
// After GO, if there is no original any more, adopt is refused, and discard is allowed after NEVER and LOST, too.
std::optional<DecisionProblem> find_problem(Decision decision, JournalState here, bool has_original,
                                            const std::string& there, const std::string& session);

// Asks the destination once, and takes the decision if the rules allow it; the request's stop and waits are not used.
// Throws Error(refused) with the reason otherwise, and where resolve_session() does.
Resolution decide_session(const ResolveRequest& request, Decision decision);

}  // namespace crx
