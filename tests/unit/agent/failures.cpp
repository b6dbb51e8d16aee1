// Processes that die and connections that break: which errors the source gets, and what the journal says afterwards.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include "common/base/error.hpp"
#include "common/base/fd.hpp"
#include "common/base/scope_exit.hpp"
#include "tests/unit/agent/process.hpp"
#include "tests/unit/agent/raw_client.hpp"

using namespace crx;
using namespace crx::test;
using wire::SessionMessage;

namespace {

constexpr int64_t kLimitMs = 20'000;

// Returns the agent's child with this name; 0 if there is none.
pid_t child(const TestAgent& agent, const std::string& name) {
  const std::string tasks =
      "/proc/" + std::to_string(agent.pid()) + "/task/" + std::to_string(agent.pid()) + "/children";
  std::ifstream list(tasks);
  pid_t pid = 0;
  while (list >> pid) {
    std::string comm;
    std::getline(std::ifstream("/proc/" + std::to_string(pid) + "/comm"), comm);
    if (comm == name) return pid;
  }
  return 0;
}

std::unique_ptr<wire::SourceLink> open_session(const wire::ConnectOptions& options) {
  auto link = wire::connect_source(options);
  SessionMessage hello;
  hello.mutable_hello();
  link->send(hello);
  auto answer = link->receive(Deadline::in_ms(kLimitMs));
  REQUIRE((answer && answer->has_welcome()));
  return link;
}

void prepare(wire::SourceLink& link) {
  SessionMessage message;
  message.mutable_prepare();
  link.send(message);
  auto answer = link.receive(Deadline::in_ms(kLimitMs));
  REQUIRE((answer && answer->has_prepared()));
}

void ask_to_hang(wire::SourceLink& link) {
  SessionMessage message;
  message.mutable_preflight()->add_tasks()->set_comm("hang");
  link.send(message);
}

std::string loss(wire::SourceLink& link) {
  try {
    while (link.receive(Deadline::in_ms(kLimitMs))) {
    }
  } catch (const Error& error) {
    return error.what();
  }
  return "none";
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// Whether the process has not taken the signal yet.
bool is_pending(pid_t pid, int signal) {
  const std::string status = read_file("/proc/" + std::to_string(pid) + "/status");
  const std::string word = "ShdPnd:\t";
  const uint64_t pending = std::stoull(status.substr(status.find(word) + word.size(), 16), nullptr, 16);
  return (pending >> (signal - 1) & 1) != 0;
}

std::string state(const wire::ConnectOptions& options) {
  return wire::query_session(options, Deadline::in_ms(kLimitMs)).state();
}

}  // namespace

TEST_CASE("an engine that works for its source learns when that leaves, and loses nothing that it had sent") {
  TestAgent agent;
  const std::string ended = agent.store() + "/ended";
  {
    RawClient client(agent.port(), agent.dir() + "/client");
    REQUIRE(client.handshake());
    SessionMessage message;
    message.mutable_hello()->set_protocol(wire::kProtocolVersion);
    message.mutable_hello()->set_session(make_session_id());
    message.mutable_hello()->set_streams(1);
    client.send(message);
    REQUIRE(client.receive_message()->has_welcome());
    message.mutable_preflight()->add_tasks()->set_comm("work until the end");
    client.send(message);
    REQUIRE(client.receive_message()->has_preflight_result());
    message.mutable_freeze();
    client.send(message);
  }
  const Deadline deadline = Deadline::in_ms(kLimitMs);
  std::string said;
  while (!std::getline(std::ifstream(ended), said) && !deadline.passed()) ::usleep(1000);
  CHECK(said == "in time");
}

TEST_CASE("an engine killed while prepared: NEVER is journalled, and the source is notified of the end") {
  TestAgent agent;
  const auto options = agent.to();
  auto link = open_session(options);
  prepare(*link);
  CHECK(state(options) == "PREPARED");
  REQUIRE(::kill(child(agent, "crx-engine"), SIGKILL) == 0);
  CHECK(has(loss(*link), "killed by signal 9"));
  CHECK(state(options) == "NEVER");
}

TEST_CASE("an engine killed after GO and before it resumed: the source receives Never") {
  TestAgent agent;
  const auto options = agent.to();
  auto link = open_session(options);
  SessionMessage preflight, go;
  preflight.mutable_preflight()->add_tasks()->set_comm("killed by go");
  link->send(preflight);
  REQUIRE(link->receive(Deadline::in_ms(kLimitMs))->has_preflight_result());
  prepare(*link);
  go.mutable_go();
  link->send(go);
  auto answer = link->receive(Deadline::in_ms(kLimitMs));
  CHECK((answer && answer->has_never()));
  CHECK(state(options) == "NEVER");
}

TEST_CASE("the front killed: its sessions go on, and the next one works, on the same port") {
  TestAgent agent;
  const auto options = agent.to();
  auto link = open_session(options);
  const pid_t front = child(agent, "crx-front");
  REQUIRE(::kill(front, SIGKILL) == 0);
  prepare(*link);
  auto next = open_session(agent.to());
  prepare(*next);
  CHECK(child(agent, "crx-front") != front);
  CHECK(state(options) == "PREPARED");
}

TEST_CASE("the process of a session killed: that session is lost, and no other") {
  TestAgent agent;
  const auto options = agent.to(), other = agent.to();
  auto link = open_session(options);
  const pid_t killed = child(agent, "crx-session");
  auto second = open_session(other);
  prepare(*link);
  prepare(*second);
  REQUIRE(::kill(killed, SIGKILL) == 0);
  CHECK(has(loss(*link), "127.0.0.1:"));
  const Deadline deadline = Deadline::in_ms(kLimitMs);
  while (state(options) != "NEVER" && !deadline.passed()) {
  }
  CHECK(state(options) == "NEVER");
  CHECK(state(other) == "PREPARED");
  SessionMessage go;
  go.mutable_go();
  second->send(go);
  const auto answer = second->receive(Deadline::in_ms(kLimitMs));
  CHECK((answer && answer->has_resumed()));
  CHECK(state(other) == "RESUMED");
}

TEST_CASE("the front and the processes of connections have dropped all privileges") {
  TestAgent agent;
  auto link = open_session(agent.to());
  std::string name;
  SUBCASE("the front") {
    name = "crx-front";
  }
  SUBCASE("the signer") {
    name = "crx-signer";
  }
  SUBCASE("of a session") {
    name = "crx-session";
  }
  const std::string process = "/proc/" + std::to_string(child(agent, name));
  const std::string status = read_file(process + "/status");
  for (const char* kind : {"mnt", "net", "ipc", "uts"}) {
    CAPTURE(kind);
    const std::string file = std::string("/ns/") + kind;
    CHECK(std::filesystem::read_symlink(process + file) != std::filesystem::read_symlink("/proc/self" + file));
  }
  CHECK(std::filesystem::is_empty(process + "/root"));
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  const bool is_limited = !has(read_file(process + "/limits"), "Max address space         unlimited");
  CHECK(is_limited == (name == "crx-session"));
#endif
  CHECK(has(status, "Uid:\t65534\t65534\t65534\t65534"));
  CHECK(has(status, "CapEff:\t0000000000000000"));
  CHECK(has(status, "CapPrm:\t0000000000000000"));
  CHECK(has(status, "CapBnd:\t0000000000000000"));
  CHECK(has(status, "NoNewPrivs:\t1"));
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  CHECK(has(status, "Seccomp:\t2"));
#endif
  const std::string engine = read_file("/proc/" + std::to_string(child(agent, "crx-engine")) + "/status");
  CHECK(has(engine, "Uid:\t0\t0\t0\t0"));
  CHECK(has(engine, "NoNewPrivs:\t0"));
  CHECK(has(engine, "Seccomp:\t0"));
  CHECK(has(engine, "SigBlk:\t0000000000000000"));
}

TEST_CASE("the agent stopped in the middle: the session is aborted and the source notified") {
  TestAgent agent;
  const std::string store = agent.store();
  const auto options = agent.to();
  auto link = open_session(options);
  prepare(*link);
  REQUIRE(::kill(agent.pid(), SIGTERM) == 0);
  CHECK(loss(*link) != "none");
  agent.wait();
  const auto records = read_journal(store, options.session);
  REQUIRE_FALSE(records.empty());
  CHECK(records.back().state == JournalState::never);
}

TEST_CASE("an agent that is being stopped opens no session on a connection that it has already") {
  TestAgent agent;
  auto link = open_session(agent.to());
  const pid_t engine = child(agent, "crx-engine");
  REQUIRE(engine > 0);
  const ScopeExit end([engine] { ::kill(engine, SIGKILL); });
  REQUIRE(::kill(engine, SIGSTOP) == 0);  // so that the agent waits for its end
  RawClient client(agent.port(), agent.dir() + "/client");
  REQUIRE(client.handshake());
  REQUIRE(client.send(wire::frame(wire::FrameType::ping, std::string(8, 'x'))));
  REQUIRE(client.receive()->first == wire::FrameType::pong);
  REQUIRE(::kill(agent.pid(), SIGTERM) == 0);
  const Deadline deadline = Deadline::in_ms(kLimitMs);
  while (is_pending(agent.pid(), SIGTERM) && !deadline.passed()) {
  }
  SessionMessage hello;
  hello.mutable_hello()->set_protocol(wire::kProtocolVersion);
  hello.mutable_hello()->set_session(make_session_id());
  hello.mutable_hello()->set_streams(1);
  REQUIRE(client.send(hello));
  const auto answer = client.receive_message();
  REQUIRE((answer && answer->has_failure()));
  CHECK(answer->failure().reason() == "this agent is being stopped");
}

TEST_CASE("the agent killed and started again: a prepared session ends with NEVER") {
  TempDir dir;
  AgentOptions keep;
  keep.store = dir.path() + "/store";
  std::string session;
  {
    TestAgent agent(keep);
    auto options = agent.to();
    session = options.session;
    auto link = open_session(options);
    prepare(*link);
    REQUIRE(::kill(agent.pid(), SIGKILL) == 0);
    CHECK(loss(*link) != "none");
    agent.wait();
  }
  TestAgent agent(keep);
  auto options = agent.to();
  options.session = session;
  CHECK(state(options) == "NEVER");
  try {
    auto link = wire::connect_source(options);
    SessionMessage hello;
    hello.mutable_hello();
    link->send(hello);
    link->receive(Deadline::in_ms(kLimitMs));
    FAIL("the session was opened again");
  } catch (const Error& error) {
    CHECK(has(error.what(), "has been here before"));
  }
}

TEST_CASE("the source gone while prepared: the engine is notified") {
  TestAgent agent;
  const auto options = agent.to();
  {
    auto link = open_session(options);
    prepare(*link);
  }
  const Deadline deadline = Deadline::in_ms(kLimitMs);
  std::string now;
  while ((now = state(options)) != "NEVER" && !deadline.passed()) {
  }
  CHECK(now == "NEVER");
}

TEST_CASE("a session that is unknown") {
  TestAgent agent;
  CHECK(state(agent.to()) == "unknown");
}

TEST_CASE("a full set of buffers does not hide a loss") {
  TestAgent agent;
  auto options = agent.to();
  options.buffers = 4;
  auto link = open_session(options);
  ask_to_hang(*link);
  REQUIRE_THROWS_AS(
      [&] {
        const pid_t engine = child(agent, "crx-engine");
        for (int i = 0; i < 1000; ++i) {
          wire::PageBuffer buffer = link->acquire();
          std::fill_n(buffer.data(), wire::kBatchBytes, std::byte{1});
          const uint64_t addr = 0x1000000 + uint64_t(i) * wire::kBatchBytes;
          link->send_pages({PageSpace::Kind::mm, 1}, {{addr, addr + wire::kBatchBytes}}, std::move(buffer));
          if (i == 16) ::kill(engine, SIGKILL);
        }
      }(),
      Error);
}
