// One migration at the destination: a state machine in which each state is a type.
//
//   Greeting --Hello--> Surveying --Preflight--> Surveyed --Layout--> Receiving --Prepare--> Prepared --Go--> Resuming
//   --> Ended. A Preflight with a fatal finding leaves the session in Surveying.
//
// | message                                          | may come in          |
// | ------------------------------------------------ | -------------------- |
// | Hello                                            | Greeting             |
// | Preflight                                        | Surveying            |
// | Freeze, Images, Layout                           | Surveyed, Receiving   |
// | pages, end of a round, Holes, Verify,            | Receiving            |
// | WrittenFiles, Prepare                            |                      |
// | Go                                               | Prepared             |
// | Decided                                          | Resuming             |
// | Abort                                            | any but Greeting     |
//
// Anything else is a protocol error. The states are in receiving.hpp and committing.hpp; a state has an on() for each
// message that it takes, except for Decided, which Resuming::run() receives by itself.
#pragma once

#include <optional>
#include <string>
#include <variant>

#include "agent-dst/ipc/engine_options.hpp"
#include "agent-dst/migrate/committing.hpp"
#include "agent-dst/migrate/destination_context.hpp"
#include "agent-dst/migrate/receiving.hpp"
#include "common/base/error.hpp"
#include "wire/link.hpp"

namespace crx {

// The state after the session: the tree runs here, or its vessels have been removed.
struct Ended {
  static constexpr char kWhen[] = "after the end";
};

// Owns the vessels; the destructor removes them unless they run. Single-threaded: its thread is their tracer. Every
// failure before RESUMING ends the session; it is reported to the source as a Failure (after PREPARED: as Never) and
// written to the journal as NEVER.
class DestinationSession {
 public:
  // `link` and `options` must outlive this object.
  DestinationSession(wire::DestinationLink& link, const EngineOptions& options);

  // Handles events until the session has ended. first: an event that has been received already. Returns the engine's
  // exit code: 0 where the tree runs here, or the source has aborted.
  int run(std::optional<wire::LinkEvent> first = std::nullopt);

 private:
  using State = std::variant<Greeting, Surveying, Surveyed, Receiving, Prepared, Resuming, Ended>;

  void handle(const wire::LinkEvent& event);
  void handle(const wire::SessionMessage& message);
  template <typename Event>
  void accept(const Event& event);
  void on_abort(const wire::Abort& abort);
  void resume();
  Deadline deadline() const;
  ReceivedTree* tree() const;
  pid_t root_pid() const;
  void refuse_to_resume(const std::string& reason) noexcept;
  void fail(const Error& error) noexcept;

  template <typename S>
  bool is() const noexcept {
    return std::holds_alternative<S>(state_);
  }

  DestinationContext context_;
  State state_;
  int exit_code_ = 1;
};

}  // namespace crx
