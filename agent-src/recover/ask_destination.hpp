// The question to the destination what became of a session.
#pragma once

#include "agent-src/recover/resolve_session.hpp"
#include "common/base/clock.hpp"
#include "common/session/source_session.hpp"
#include "wire/source/connect.hpp"

namespace crx {

// Asks once, at request.to, or else at the address in the journal. Throws Error(peer) if there is no answer by the
// deadline.
wire::SessionState ask_destination(const ResolveRequest& request, const SourceSession& session, Deadline deadline);

}  // namespace crx
