// An engine that answers a source by the rules, but for one message that it sends in place of the right one. It
// restores nothing, and records what has come.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "agent-dst/ipc/engine_options.hpp"
#include "tests/unit/agent/process.hpp"
#include "wire/limits.hpp"
#include "wire/link.hpp"

namespace crx::test {

// An event that an engine has received, and the content of its pages (PagesArrived.bytes is empty).
struct RecordedEvent {
  wire::LinkEvent event;
  std::string content;
};

// A script in memory that the engines of a TestAgent share with the test, so it must be made before the agent.
class Script {
 public:
  explicit Script(std::string recording);  // path of the file in which the events of a session are kept
  ~Script();
  Script(const Script&) = delete;
  Script& operator=(const Script&) = delete;

  // From now on the engine sends an empty message of the kind `message` where the source is in `state` (the names are
  // those of protocol_states.hpp). After Go it decides NEVER, but where the message is Resumed or Decided.
  void say(const std::string& state, const std::string& message);
  // The verdict after Go, where the script has nothing else: RESUMED, or NEVER.
  void resume(bool resumes);
  // The version that Welcome has.
  void speak(uint32_t protocol);
  // The events of the last session.
  std::vector<RecordedEvent> recorded() const;

  // For TestAgent: serves one session.
  EngineMain engine() const;

 private:
  struct Shared {
    std::array<char, 32> state{}, message{};
    bool resumes = false;
    uint32_t protocol = wire::kProtocolVersion;
  };
  friend class ScriptedEngine;

  std::string recording_;
  Shared* shared_;
};

}  // namespace crx::test
