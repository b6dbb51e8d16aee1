#include "tests/unit/agent/protocol_states.hpp"

#include <doctest/doctest.h>
#include <google/protobuf/descriptor.h>

#include <fstream>
#include <sstream>

namespace crx::test {
namespace {

std::vector<std::string> split(const std::string& text, const std::string& separators) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find_first_of(separators, at), text.size());
    if (end > at) parts.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

const google::protobuf::OneofDescriptor& bodies() {
  return *wire::SessionMessage::descriptor()->FindOneofByName("body");
}

}  // namespace

std::vector<ProtocolState> states_of(const std::string& side) {
  std::ifstream page(CRX_SOURCE_DIR "/wire/PROTOCOL.md");
  std::string line;
  while (std::getline(page, line) && !line.starts_with("| state of the " + side + " |")) {
  }
  std::vector<ProtocolState> states;
  std::getline(page, line);  // the rule below the heads
  while (std::getline(page, line) && line.starts_with("|")) {
    const std::vector<std::string> cells = split(line, "|");
    REQUIRE(cells.size() == 3);
    ProtocolState& state = states.emplace_back();
    state.name = split(cells[0], " ").at(0);
    for (const std::string& name : split(cells[2], " ,;")) state.takes.insert(name);
  }
  REQUIRE(!states.empty());
  return states;
}

std::vector<std::string> message_kinds() {
  std::vector<std::string> kinds;
  for (int i = 0; i < bodies().field_count(); ++i) kinds.push_back(bodies().field(i)->message_type()->name());
  return kinds;
}

wire::SessionMessage empty_message(const std::string& kind) {
  wire::SessionMessage message;
  for (int i = 0; i < bodies().field_count(); ++i) {
    if (bodies().field(i)->message_type()->name() == kind)
      message.GetReflection()->MutableMessage(&message, bodies().field(i));
  }
  REQUIRE(message.body_case() != wire::SessionMessage::BODY_NOT_SET);
  return message;
}

TEST_CASE("protocol: the tables of states name messages that exist") {
  const std::vector<std::string> kinds = message_kinds();
  for (const char* side : {"engine", "source"}) {
    for (const ProtocolState& state : states_of(side)) {
      for (const std::string& name : state.takes) {
        CAPTURE(name);
        const bool exists = std::find(kinds.begin(), kinds.end(), name) != kinds.end();
        CHECK((exists || (side == std::string("engine") && (name == "pages" || name == "marks"))));
      }
    }
  }
}

}  // namespace crx::test
