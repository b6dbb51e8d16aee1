// Settles the journals of sessions whose engine can no longer decide.
#pragma once

#include <string>

namespace crx::supervisor {

struct Verdict {
  std::string state;  // "unknown" without a journal, else the last record: OPEN, PREPARED, RESUMING, RESUMED, NEVER
  std::string detail;
};

// Reads the last record of the journal.
Verdict read_verdict(const std::string& store, const std::string& session);
// Called when the engine of this session has ended. If it had not journalled RESUMING, NEVER is journalled now with
// `reason`: from then on no GO is obeyed. If another process still has the journal open, it is left unchanged and its
// last record is returned.
Verdict settle(const std::string& store, const std::string& session, const std::string& reason);
// Called at the start of the agent: settles the sessions that an earlier agent left undecided.
void settle_all(const std::string& store);

}  // namespace crx::supervisor
