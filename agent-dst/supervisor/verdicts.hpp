// The supervisor's part of the journal: sessions whose engine can no longer decide.
#pragma once

#include <string>

namespace crx::supervisor {

struct Verdict {
  std::string state;  // "unknown" without a journal, else the last record: OPEN, PREPARED, RESUMING, RESUMED, NEVER
  std::string detail;
};

// The last record.
Verdict read_verdict(const std::string& store, const std::string& session);
// The engine of this session has ended. If it had not journalled RESUMING, NEVER is journalled now, with
// `reason`: from here on no GO can be obeyed. Where a process still holds the journal it is left alone and
// its last record returned.
Verdict settle(const std::string& store, const std::string& session, const std::string& reason);
// At the start: settles what an earlier agent left undecided.
void settle_all(const std::string& store);

}  // namespace crx::supervisor
