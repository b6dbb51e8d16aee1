// A migration as the destination sees it: a state machine whose states are types.
//
//   Greeting --Hello--> Surveying --Layout--> Receiving --Prepare--> Prepared --Go--> Resuming --> Ended
//
// | message                                          | may come in          |
// | ------------------------------------------------ | -------------------- |
// | Hello                                            | Greeting             |
// | Preflight                                        | Surveying            |
// | Freeze, Images, Layout                           | Surveying, Receiving |
// | pages, end of a round, Holes, Verify,            | Receiving            |
// | WrittenFiles, Prepare                            |                      |
// | Go                                               | Prepared             |
// | Abort                                            | any but Greeting     |
//
// Anything else is a protocol error. The states are in receiving.hpp and committing.hpp.
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

// The session is over: the tree runs here, or its vessels have been removed.
struct Ended {
  static constexpr char kWhen[] = "after the end";
};

// Owns the vessels; destroying it removes them unless they run. Single-threaded (it is their tracer). Every failure
// before RESUMING is reported to the source as a Failure (after PREPARED: as Never), journalled as NEVER, and ends the
// session.
class DestinationSession {
 public:
  // Both must outlive it.
  DestinationSession(wire::DestinationLink& link, const EngineOptions& options);

  // Serves events until the session has ended. first: an event that has been received already. Returns the engine's
  // exit code: 0 where the tree runs here, or the source has aborted.
  int run(std::optional<wire::LinkEvent> first = std::nullopt);

 private:
  using State = std::variant<Greeting, Surveying, Receiving, Prepared, Resuming, Ended>;

  void handle(const wire::LinkEvent& event);
  void handle(const wire::SessionMessage& message);
  template <typename Event>
  void accept(const Event& event);
  void on_abort(const wire::Abort& abort);
  void resume();
  Deadline deadline() const;
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
