// The sessions in the journals of this host, as an operator sees them.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/journal.hpp"

namespace crx {

enum class SessionRole : uint8_t { source, destination, unknown };

// "source", "destination", "unknown".
std::string_view to_string(SessionRole role);

// The process that has locked the journal: it works on the session.
struct SessionHolder {
  pid_t pid = 0;
  std::string comm;
};

struct SessionInfo {
  std::string session;
  std::string dir;  // holds journal/
  SessionRole role = SessionRole::unknown;
  std::string state;     // of the last record, "GO"; "DAMAGED" if the journal cannot be read
  std::string detail;    // of the last record, or why the journal cannot be read
  int64_t began_ns = 0;  // the time of the first record (CLOCK_REALTIME)
  int64_t since_ns = 0;  // the time of the record that began this state
  pid_t pid = 0;         // the root of the tree, in its own PID namespace; 0: unknown
  std::string comm;      // its name; empty: unknown
  std::string peer;      // of a source HOST:PORT of the destination; of a destination the name of the source
  std::string group;     // the control group that holds the tree while the session is unfinished; empty: none, or gone
  bool is_frozen = false;
  std::optional<SessionHolder> holder;
  bool is_finished = false;
  std::string awaits;  // one phrase; empty if the session is finished
};

// Returns the sessions of all journals below each directory, ordered by the time of their first record. Takes no lock,
// and waits for none. Throws Error if a directory cannot be read; a directory that does not exist has no sessions.
std::vector<SessionInfo> list_sessions(const std::vector<std::string>& dirs);

// Returns the process that has locked the journal of a session. Sees only processes of our PID namespace and those
// below (proc_locks(5)).
std::optional<SessionHolder> find_holder(const std::string& dir, const std::string& session);

}  // namespace crx
