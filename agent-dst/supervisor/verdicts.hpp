// Settles the journals of sessions whose engine can no longer decide.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace crx::supervisor {

struct Verdict {
  std::string
      state;  // "unknown" without a journal, else the last record: OPEN, PREPARED, RESUMING, RESUMED, NEVER, LOST
  std::string detail;
  pid_t thawed_root = 0;    // the root of a tree that this call has let run
  bool is_recorded = true;  // false: it is true all the same, but the journal could not be written
};

// Reads the last record of the journal; a journal of which this host is the source counts as none.
Verdict read_verdict(const std::string& store, const std::string& session);
// Called when the engine of this session has ended. If it had not journalled RESUMING, NEVER is journalled now with
// `reason`: from then on no GO is obeyed. If it had, the session is finished (finish_decided()): afterwards the tree
// runs here and the state is RESUMED, or it has ended before it ran and the state is LOST. If another process still has
// the journal open, or the session cannot be finished yet, its last record is returned, and the call is to be repeated.
// If NEVER or LOST cannot be written, it is returned all the same: no engine will serve this session again, and no
// process of its tree is left, whatever a later agent finds in the journal. The call is to be repeated then, too.
Verdict settle(const std::string& store, const std::string& session, const std::string& reason);
// Whether a session in this state still has to be settled when no engine serves it.
bool is_unsettled(const Verdict& verdict);
// Called at the start of the agent: settles the sessions that an earlier agent left unfinished. Returns those that are
// to be settled again later.
std::vector<std::string> settle_all(const std::string& store);

}  // namespace crx::supervisor
