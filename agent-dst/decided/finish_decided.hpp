// Finishes a session that is decided, but whose engine has ended before the tree ran.
#pragma once

#include <cstdint>
#include <string>

#include "common/base/journal.hpp"

namespace crx {

// To be called when the engine of the session has ended; `journal` is the session's, with the last record RESUMING or
// RESUMED. RESUMED is on disk before the tree is thawed, so RESUMING as the last record means that nothing of the tree
// has run.
// - RESUMING, and all of its processes are in the group, released from ptrace: writes RESUMED and thaws them.
// - RESUMING, and at least one is missing: kills the others, and writes LOST. The source may resume the original then.
// - RESUMED: thaws the group, if it is still there, and records that the tree runs.
// Does nothing if the tree runs already. Waits up to 2 s for processes that the kernel is about to kill, since they
// had been traced by the engine. If LOST cannot be written, is_recorded is false: the tree is gone for good, and the
// record says so as soon as the call is repeated. Throws Error if processes are still traced after 2 s, if RESUMED
// cannot be written (a complete tree waits for it, since the source may have lost the original), and for other
// failures; the session is unfinished in that case, and the call may be repeated.
enum class DecidedEnd : uint8_t { runs, thawed, lost };
struct DecidedOutcome {
  DecidedEnd end = DecidedEnd::runs;  // thawed: by this call
  std::string why;                    // of lost
  bool is_recorded = true;
};
DecidedOutcome finish_decided(Journal& journal);

}  // namespace crx
