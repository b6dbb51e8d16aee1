// The list of sessions as text and as JSON.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/session/session_list.hpp"

namespace crx {

// "2026-11-30T18:00:00Z".
std::string utc(int64_t realtime_ns);

// A heading and a line for each session, with columns of equal width; texts of peers are printable. Ends with a
// newline.
std::string render_sessions(const std::vector<SessionInfo>& sessions);

// One line of JSON, without the newline: "event":"session", and the members of SessionInfo as crx-migrate(1) lists
// them.
std::string session_json(const SessionInfo& session);

// Prints the sessions below these directories on stdout: the unfinished ones, or all; as a table, or as JSON lines. If
// there is none, says so on stderr, unless JSON is wanted. Returns 0. Throws Error as list_sessions().
struct ListRequest {
  std::vector<std::string> dirs;
  bool all = false;
  bool json = false;
};
int print_sessions(const ListRequest& request);

}  // namespace crx
