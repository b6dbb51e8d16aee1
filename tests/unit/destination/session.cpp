// Which message may come when: a source that breaks the order gets an error, and the engine ends in good order.
#include <doctest/doctest.h>
#include <poll.h>
#include <stdlib.h>

#include <deque>
#include <filesystem>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "agent-dst/migrate/destination_session.hpp"
#include "common/base/journal.hpp"
#include "common/kernel/process/sched.hpp"
#include "wire/failure.hpp"
#include "wire/host_info.hpp"

namespace crx {
namespace {

namespace fs = std::filesystem;

template <typename State, typename Message>
concept Takes = requires(State state, const Message& message, DestinationContext& context) {
  state.on(message, context);
};

template <typename State, typename... Messages>
constexpr bool takes_all = (Takes<State, Messages> && ...);
template <typename State, typename... Messages>
constexpr bool takes_none = (!Takes<State, Messages> && ...);

static_assert(takes_all<Greeting, wire::Hello>);
static_assert(takes_none<Greeting, wire::Preflight, wire::Freeze, wire::Images, wire::Layout, wire::PagesArrived,
                         wire::RoundEnded, wire::Holes, wire::Verify, wire::WrittenFiles, wire::Prepare, wire::Go>);
static_assert(takes_all<Surveying, wire::Preflight>);
static_assert(takes_none<Surveying, wire::Hello, wire::Freeze, wire::Images, wire::Layout, wire::PagesArrived,
                         wire::RoundEnded, wire::Holes, wire::Verify, wire::WrittenFiles, wire::Prepare, wire::Go>);
static_assert(takes_all<Surveyed, wire::Freeze, wire::Images, wire::Layout>);
static_assert(takes_none<Surveyed, wire::Hello, wire::Preflight, wire::PagesArrived, wire::RoundEnded, wire::Holes,
                         wire::Verify, wire::WrittenFiles, wire::Prepare, wire::Go>);
static_assert(takes_all<Receiving, wire::Freeze, wire::Images, wire::Layout, wire::PagesArrived, wire::RoundEnded,
                        wire::Holes, wire::Verify, wire::WrittenFiles, wire::Prepare>);
static_assert(takes_none<Receiving, wire::Hello, wire::Preflight, wire::Go>);
static_assert(takes_all<Prepared, wire::Go>);
static_assert(
    takes_none<Prepared, wire::Hello, wire::Preflight, wire::Freeze, wire::Images, wire::Layout, wire::PagesArrived,
               wire::RoundEnded, wire::Holes, wire::Verify, wire::WrittenFiles, wire::Prepare>);
static_assert(!std::is_default_constructible_v<Surveyed> && !std::is_default_constructible_v<Prepared> &&
              !std::is_default_constructible_v<Resuming>);

// Gives what a source has sent, then the end of the connection.
class Script final : public wire::DestinationLink {
 public:
  void send(const wire::SessionMessage& message) override { sent.push_back(message); }
  std::optional<wire::LinkEvent> receive(Deadline) override {
    if (events.empty()) return wire::LinkClosed{"the script is over"};
    wire::LinkEvent next = std::move(events.front());
    events.pop_front();
    return next;
  }
  void release(uint32_t) override {}

  std::deque<wire::LinkEvent> events;
  std::vector<wire::SessionMessage> sent;
};

struct Engine {
  Engine() {
    std::string name = fs::temp_directory_path() / "crx-session-XXXXXX";
    options.store = ::mkdtemp(name.data());
    options.session = make_session_id();
    options.peer = "a test";
  }
  ~Engine() { fs::remove_all(options.store); }

  void hello() {
    wire::SessionMessage message;
    *message.mutable_hello()->mutable_host() = wire::local_host_info();
    link.events.emplace_back(std::move(message));
  }
  // A preflight of a tree that asks for nothing.
  void preflight() {
    wire::SessionMessage message;
    message.mutable_preflight();
    link.events.emplace_back(std::move(message));
  }
  int run() { return DestinationSession(link, options).run(); }
  // The last answer of the engine, as the source reads it.
  std::string failure() const {
    REQUIRE(!link.sent.empty());
    REQUIRE(link.sent.back().has_failure());
    const Error error = wire::to_error(link.sent.back().failure(), "there");
    CHECK(error.code() == ErrorCode::peer);
    return error.reason();
  }
  JournalState last_state() const { return read_journal(options.store, options.session).back().state; }

  EngineOptions options;
  Script link;
};

template <typename Fill>
wire::SessionMessage message_with(Fill fill) {
  wire::SessionMessage message;
  fill(message);
  return message;
}

}  // namespace

TEST_CASE("destination session: nothing but a preflight comes after Hello") {
  const std::vector<std::pair<wire::LinkEvent, std::string>> cases = {
      {message_with([](auto& message) { message.mutable_layout(); }), "Layout"},
      {message_with([](auto& message) { message.mutable_images(); }), "Images"},
      {message_with([](auto& message) { message.mutable_freeze(); }), "Freeze"},
      {wire::PagesArrived(), "a batch of pages"},
  };
  for (const auto& [event, what] : cases) {
    for (const bool refused : {false, true}) {
      Engine engine;
      engine.hello();
      if (refused) {
        engine.options.policy.max_memory = 1 << 20;
        engine.link.events.emplace_back(
            message_with([](auto& message) { message.mutable_preflight()->set_memory_bytes(2 << 20); }));
      }
      engine.link.events.push_back(event);
      CHECK(engine.run() == 1);
      CHECK(engine.failure() == what + " came before a preflight without refusals");
      CHECK(engine.last_state() == JournalState::never);
    }
  }
}

TEST_CASE("destination session: Prepare before the first layout is a protocol error") {
  Engine engine;
  engine.hello();
  engine.preflight();
  engine.link.events.emplace_back(message_with([](auto& message) { message.mutable_prepare(); }));
  CHECK(engine.run() == 1);
  CHECK(engine.link.sent.front().has_welcome());
  CHECK(engine.failure() == "Prepare came before the first layout");
  CHECK(engine.last_state() == JournalState::never);
}

TEST_CASE("destination session: messages that need vessels come after the first layout") {
  const std::vector<std::pair<wire::LinkEvent, std::string>> cases = {
      {message_with([](auto& message) { message.mutable_holes(); }), "Holes came before the first layout"},
      {message_with([](auto& message) { message.mutable_verify(); }), "Verify came before the first layout"},
      {message_with([](auto& message) { message.mutable_written_files(); }),
       "WrittenFiles came before the first layout"},
      {message_with([](auto& message) { message.mutable_go(); }), "Go came before the first layout"},
      {wire::PagesArrived(), "a batch of pages came before the first layout"},
      {wire::RoundEnded{1}, "the end of a round came before the first layout"},
      {message_with([](auto& message) { message.mutable_hello(); }), "Hello came before the first layout"},
  };
  for (const auto& [event, text] : cases) {
    Engine engine;
    engine.hello();
    engine.preflight();
    engine.link.events.push_back(event);
    CHECK(engine.run() == 1);
    CHECK(engine.failure() == text);
    CHECK(engine.last_state() == JournalState::never);
  }
}

TEST_CASE("destination session: nothing but Hello comes first") {
  for (const wire::LinkEvent& event : std::vector<wire::LinkEvent>{
           message_with([](auto& message) { message.mutable_prepare(); }),
           message_with([](auto& message) { message.mutable_layout(); }),
           message_with([](auto& message) { message.mutable_abort(); }), wire::PagesArrived()}) {
    Engine engine;
    engine.link.events.push_back(event);
    CHECK(engine.run() == 1);
    CHECK(engine.failure().ends_with("came before Hello"));
    CHECK(read_journal(engine.options.store, engine.options.session).empty());
  }
}

TEST_CASE("destination session: a layout without memory makes no vessel") {
  Engine engine;
  engine.hello();
  engine.preflight();
  engine.link.events.emplace_back(message_with([](auto& message) { message.mutable_layout(); }));
  engine.link.events.emplace_back(message_with([](auto& message) { message.mutable_prepare(); }));
  CHECK(engine.run() == 1);
  CHECK(engine.failure() == "a layout without memory");
}

TEST_CASE("destination session: the agent limits how long a source lets a prepared tree wait for GO") {
  Engine engine;
  engine.options.max_go_timeout_ms = 60'000;
  DestinationContext context{engine.link, engine.options, Hook(""), std::nullopt, {}};
  const auto left_ms = [&](uint32_t asked_ms) {
    context.hello.set_go_timeout_ms(asked_ms);
    return go_deadline(context).left_ns() / 1'000'000;
  };
  CHECK(left_ms(UINT32_MAX) <= 60'000);
  CHECK(left_ms(UINT32_MAX) > 30'000);
  CHECK(left_ms(20'000) <= 20'000);
  CHECK(left_ms(0) <= 0);
}

TEST_CASE("destination session: a source that stops its tree and stays silent does not keep real-time priority") {
  // Waits as long as the engine wants to, and then looks at its priority.
  class Silent final : public wire::DestinationLink {
   public:
    void send(const wire::SessionMessage&) override {}
    std::optional<wire::LinkEvent> receive(Deadline deadline) override {
      if (at_ < 3) {
        wire::SessionMessage message;
        if (at_ == 0) *message.mutable_hello()->mutable_host() = wire::local_host_info();
        if (at_ == 1) message.mutable_preflight();
        if (at_ == 2) message.mutable_freeze();
        ++at_;
        return message;
      }
      policies.push_back(sched_attr(0).policy);
      if (policies.size() > 1 || deadline.left_ns() == INT64_MAX) return wire::LinkClosed{"enough"};
      while (!deadline.passed()) ::poll(nullptr, 0, deadline.poll_ms());
      return std::nullopt;
    }
    void release(uint32_t) override {}
    std::vector<uint32_t> policies;

   private:
    int at_ = 0;
  };
  Engine engine;
  engine.options.max_urgent_ms = 50;
  Silent link;
  CHECK(DestinationSession(link, engine.options).run() == 1);
  REQUIRE(link.policies.size() == 2);
  CHECK(link.policies[0] == kSchedRr);
  CHECK(link.policies[1] == kSchedNormal);
}

TEST_CASE("destination session: Abort ends it well, and NEVER is on record") {
  Engine engine;
  engine.hello();
  engine.link.events.emplace_back(
      message_with([](auto& message) { message.mutable_abort()->set_reason("check only"); }));
  CHECK(engine.run() == 0);
  CHECK(engine.last_state() == JournalState::never);
}

}  // namespace crx
