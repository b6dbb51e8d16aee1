#include "agent-dst/migrate/destination_session.hpp"

#include <fmt/format.h>

#include <type_traits>
#include <utility>

#include "common/base/log.hpp"
#include "wire/failure.hpp"

namespace crx {
namespace {

constexpr char kFollowing[] = "following the source";

std::string name_of(const google::protobuf::Message& message) {
  return message.GetDescriptor()->name();
}
std::string name_of(const wire::PagesArrived&) {
  return "a batch of pages";
}
std::string name_of(const wire::RoundEnded&) {
  return "the end of a round";
}

}  // namespace

DestinationSession::DestinationSession(wire::DestinationLink& link, const EngineOptions& options)
    : context_{link, options, Hook(options.hook), std::nullopt, {}} {}

int DestinationSession::run(std::optional<wire::LinkEvent> first) {
  while (!is<Ended>()) {
    try {
      const auto event = first ? std::exchange(first, std::nullopt) : context_.link.receive(deadline());
      if (ReceivedTree* received = tree(); received != nullptr && received->urgent_until.passed()) {
        log::info("session {}: the stop takes long: it goes on with the usual priority", context_.options.session);
        received->calm_down();
      }
      if (event) {
        handle(*event);
      } else if (deadline().passed()) {
        fail(Error(ErrorCode::peer, "waiting for GO", "the source said nothing in time"));
      }
    } catch (const Error& error) {
      fail(error);
    } catch (const std::exception& error) {
      fail(Error(ErrorCode::bug, "restoring", error.what()));
    }
  }
  return exit_code_;
}

Deadline DestinationSession::deadline() const {
  const auto* prepared = std::get_if<Prepared>(&state_);
  const Deadline go = prepared != nullptr ? prepared->go_deadline : Deadline::never();
  const ReceivedTree* received = tree();
  return received != nullptr ? Deadline::earlier(go, received->urgent_until) : go;
}

void DestinationSession::handle(const wire::LinkEvent& event) {
  if (const auto* message = std::get_if<wire::SessionMessage>(&event)) handle(*message);
  if (const auto* pages = std::get_if<wire::PagesArrived>(&event)) accept(*pages);
  if (const auto* round = std::get_if<wire::RoundEnded>(&event)) accept(*round);
  if (const auto* closed = std::get_if<wire::LinkClosed>(&event)) {
    log::warn("session {}: the source is gone: {}", context_.options.session, closed->reason);
    refuse_to_resume("the source is gone: " + closed->reason);
  }
}

void DestinationSession::handle(const wire::SessionMessage& message) {
  switch (message.body_case()) {
    case wire::SessionMessage::kHello:
      return accept(message.hello());
    case wire::SessionMessage::kPreflight:
      return accept(message.preflight());
    case wire::SessionMessage::kLayout:
      return accept(message.layout());
    case wire::SessionMessage::kFreeze:
      return accept(message.freeze());
    case wire::SessionMessage::kHoles:
      return accept(message.holes());
    case wire::SessionMessage::kImages:
      return accept(message.images());
    case wire::SessionMessage::kVerify:
      return accept(message.verify());
    case wire::SessionMessage::kWrittenFiles:
      return accept(message.written_files());
    case wire::SessionMessage::kPrepare:
      return accept(message.prepare());
    case wire::SessionMessage::kGo:
      accept(message.go());
      return resume();
    case wire::SessionMessage::kAbort:
      return on_abort(message.abort());
    default:
      throw Error(ErrorCode::peer, kFollowing, "a message that no source sends");
  }
}

// Passes an event to the state. A message is allowed in a state if the state has an on() for it.
template <typename Event>
void DestinationSession::accept(const Event& event) {
  std::optional<State> next = std::visit(
      [&](auto& state) -> std::optional<State> {
        if constexpr (!requires { state.on(event, context_); }) {
          throw Error(ErrorCode::peer, kFollowing, fmt::format("{} came {}", name_of(event), state.kWhen));
        } else if constexpr (std::is_void_v<decltype(state.on(event, context_))>) {
          state.on(event, context_);
          return std::nullopt;
        } else {
          auto next_state = state.on(event, context_);
          if constexpr (requires { next_state.has_value(); }) {
            if (!next_state) return std::nullopt;
            return State(std::move(*next_state));
          } else {
            return State(std::move(next_state));
          }
        }
      },
      state_);
  if (next) state_ = std::move(*next);
}

void DestinationSession::on_abort(const wire::Abort& abort) {
  if (is<Greeting>()) throw Error(ErrorCode::peer, kFollowing, fmt::format("Abort came {}", Greeting::kWhen));
  log::info("session {}: the source gave up: {}", context_.options.session, abort.reason());
  exit_code_ = 0;
  refuse_to_resume(abort.reason());
}

// Runs the tree, after accept() of Go.
void DestinationSession::resume() {
  exit_code_ = 0;
  std::get<Resuming>(state_).run(context_);
  state_ = Ended();
}

// Returns nullptr in states without a tree.
ReceivedTree* DestinationSession::tree() const {
  return std::visit(
      [](const auto& state) -> ReceivedTree* {
        if constexpr (requires { state.tree->vessels; }) return state.tree.get();
        return nullptr;
      },
      state_);
}

// Returns 0 where there are no vessels.
pid_t DestinationSession::root_pid() const {
  const ReceivedTree* received = tree();
  return received == nullptr || received->vessels.empty() ? 0 : received->vessels.root_pid();
}

void DestinationSession::refuse_to_resume(const std::string& reason) noexcept {
  try {
    if (context_.journal && !is<Resuming>()) context_.journal->append(JournalState::never, reason);
    if (is<Prepared>()) {
      wire::SessionMessage answer;
      answer.mutable_never()->set_reason(reason);
      context_.link.send(answer);
    }
    if (const pid_t root = root_pid(); root != 0 && !is<Resuming>())
      context_.hook.run_noting(HookStage::aborted, context_.hook_context(root));
  } catch (const std::exception& error) {
    log::debug("ending session {}: {}", context_.options.session, error.what());
  }
  state_ = Ended();
}

void DestinationSession::fail(const Error& error) noexcept {
  log::error("session {}: {}", context_.options.session, error.what());
  try {
    if (!is<Prepared>() && !is<Resuming>()) context_.link.send(wire::failure_message(error));
  } catch (const std::exception& other) {
    log::debug("reporting the failure: {}", other.what());
  }
  refuse_to_resume(error.what());
}

}  // namespace crx
