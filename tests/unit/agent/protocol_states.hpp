// The table of PROTOCOL.md, section 6, that says which message may come in which state of an engine or of a source.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "wire/messages.pb.h"

namespace crx::test {

struct ProtocolState {
  std::string name;
  std::set<std::string> takes;  // names of messages, and "pages" and "marks"
};

// Returns the rows below the line "| state of the SIDE |". side: "engine" or "source".
std::vector<ProtocolState> states_of(const std::string& side);

// The names of all kinds of SessionMessage.body: "Hello", ...
std::vector<std::string> message_kinds();
// A message of that kind without any field.
wire::SessionMessage empty_message(const std::string& kind);

}  // namespace crx::test
