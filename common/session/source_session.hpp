// The description of a migration in the journal at its source: enough to finish it when crx-migrate has ended.
#pragma once

#include <sys/types.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/base/endpoint.hpp"
#include "common/base/journal.hpp"

namespace crx {

// A systemd unit that is to be stopped before the original is ended.
struct SessionUnit {
  std::string name;   // "redis.service"
  bool user = false;  // it belongs to a user's systemd
};

struct SourceSession {
  pid_t pid = 0;  // the root of the tree
  std::string comm;
  Endpoint to;
  std::string tls_dir;
  std::string tls_crl;  // empty: the default one
  std::string group;    // FreezerGroup::path(); empty before the tree has been put into one
  std::optional<SessionUnit> unit;
  std::vector<std::string> thawed;     // groups to be frozen again, ThawedGroups; in records of their own
  std::map<pid_t, std::string> homes;  // FreezerGroup::homes(); in records of their own
};

// One line of JSON, the detail of a record OPEN, without the homes.
std::string to_detail(const SourceSession& session);
// The homes as details of further records OPEN, none if there are no homes. A tree out of very many groups may have
// more of them than the journal has room for: the rest is left out, and its processes get to the group above.
std::vector<std::string> to_details(const std::map<pid_t, std::string>& homes);
// A group that is about to be thawed, as the detail of a further record.
std::string thawed_detail(const std::string& group);
// Returns the description in the last OPEN record that has one, with the homes of all records; nothing if none has, as
// in the journal of a destination.
std::optional<SourceSession> find_source_session(const std::vector<JournalRecord>& records);

}  // namespace crx
