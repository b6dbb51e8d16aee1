// Peers that violate the protocol: each loses its connection and affects no other session.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <vector>

#include "common/base/clock.hpp"
#include "common/base/error.hpp"
#include "common/base/fd.hpp"
#include "common/base/journal.hpp"
#include "tests/unit/agent/process.hpp"
#include "tests/unit/agent/raw_client.hpp"

using namespace crx;
using namespace crx::test;
using wire::FrameType;
using wire::SessionMessage;

namespace {

std::string keys(const TestAgent& agent) {
  return agent.dir() + "/client";
}

SessionMessage hello(const std::string& session, unsigned streams = 1) {
  SessionMessage message;
  message.mutable_hello()->set_protocol(wire::kProtocolVersion);
  message.mutable_hello()->set_session(session);
  message.mutable_hello()->set_streams(streams);
  return message;
}

// Returns the reason of the next Failure message.
std::string failure(RawClient& client) {
  const auto message = client.receive_message();
  return message && message->has_failure() ? message->failure().reason() : "none";
}

bool still_serves(const TestAgent& agent) {
  RawClient client(agent.port(), keys(agent));
  if (!client.handshake() || !client.send(hello(make_session_id()))) return false;
  const auto answer = client.receive_message();
  return answer && answer->has_welcome();
}

}  // namespace

TEST_CASE("connections without our TLS are rejected") {
  TestAgent agent;
  SUBCASE("plain text") {
    RawClient client(agent.port(), keys(agent));
    const std::string text = "GET / HTTP/1.0\r\n\r\n";
    REQUIRE(::send(client.fd(), text.data(), text.size(), MSG_NOSIGNAL) > 0);
    char byte[256];
    while (::recv(client.fd(), byte, sizeof byte, 0) > 0) {
    }
  }
  SUBCASE("no certificate") {
    RawClient client(agent.port(), "");
    if (client.handshake()) CHECK(client.ended());
  }
  SUBCASE("another application protocol") {
    RawClient client(agent.port(), keys(agent), "h2");
    CHECK_FALSE(client.handshake());
  }
  SUBCASE("no application protocol") {
    RawClient client(agent.port(), keys(agent), "");
    REQUIRE(client.handshake());
    CHECK(failure(client).find("did not agree on crx/1 by ALPN") != std::string::npos);
    CHECK(client.ended());
  }
  SUBCASE("TLS 1.2") {
    RawClient client(agent.port(), keys(agent), wire::kAlpn, TLS1_2_VERSION);
    CHECK_FALSE(client.handshake());
  }
  CHECK(still_serves(agent));
}

TEST_CASE("a connection that starts with a message not allowed there") {
  TestAgent agent;
  RawClient client(agent.port(), keys(agent));
  REQUIRE(client.handshake());
  SessionMessage message;
  SUBCASE("Go") {
    message.mutable_go();
    client.send(message);
    CHECK(failure(client).find("starts with Hello or Query") != std::string::npos);
  }
  SUBCASE("a long message") {
    client.send(wire::frame_head(FrameType::message, wire::kMaxFirstMessageBytes + 1));
    CHECK(failure(client).find("too long") != std::string::npos);
  }
  SUBCASE("an unknown frame") {
    client.send(std::string("\x63\0\0\0\1\0\0\0x", 9));
    CHECK(failure(client).find("unknown") != std::string::npos);
  }
  SUBCASE("a session id that is a path") {
    client.send(hello("../../../../etc/passwd0000000000"));
    CHECK(failure(client).find("session id") != std::string::npos);
  }
  SUBCASE("a query with one") {
    message.mutable_query()->set_session("../../x");
    client.send(message);
    CHECK(failure(client).find("session id") != std::string::npos);
  }
  SUBCASE("another version") {
    message = hello(make_session_id());
    message.mutable_hello()->set_protocol(99);
    client.send(message);
    CHECK(failure(client).find("protocol 99") != std::string::npos);
  }
  SUBCASE("Join on a control connection") {
    wire::Join join;
    join.session = make_session_id();
    join.stream = 1;
    client.send(wire::frame_join(join));
    CHECK(failure(client).find("starts with Hello or Query") != std::string::npos);
  }
  CHECK(client.ended());
  CHECK(still_serves(agent));
}

TEST_CASE("a data connection of no session is closed, and costs no process") {
  TestAgent agent;
  RawClient stranger(agent.port(), keys(agent));
  SUBCASE("with an unknown token") {
    stranger.begin_data({});
    CHECK_FALSE(stranger.handshake());
  }
  SUBCASE("with a part of the preamble") {
    REQUIRE(::send(stranger.fd(), "crx-data", 8, MSG_NOSIGNAL) == 8);
    REQUIRE(::shutdown(stranger.fd(), SHUT_WR) == 0);
  }
  SUBCASE("with another word") {
    REQUIRE(::send(stranger.fd(), "crx-dada0123456789abcdef", 24, MSG_NOSIGNAL) == 24);
  }
  char byte = 0;
  CHECK(::recv(stranger.fd(), &byte, 1, 0) <= 0);
  CHECK(still_serves(agent));
}

TEST_CASE("a session that breaks the protocol is ended, with the reason") {
  TestAgent agent;
  const std::string session = make_session_id();
  RawClient control(agent.port(), keys(agent));
  REQUIRE(control.handshake());
  control.send(hello(session));
  REQUIRE(control.receive_message()->has_welcome());
  SessionMessage message;
  SUBCASE("a second Hello") {
    control.send(hello(session));
    CHECK(failure(control).find("hello") != std::string::npos);
  }
  SUBCASE("a message only a destination sends") {
    message.mutable_resumed();
    control.send(message);
    CHECK(failure(control).find("resumed") != std::string::npos);
  }
  SUBCASE("GO without Prepared") {
    message.mutable_go();
    control.send(message);
    CHECK(failure(control).find("GO") != std::string::npos);
  }
  SUBCASE("no protobuf") {
    control.send(wire::frame(FrameType::message, "\xff\xff\xff\xff"));
    CHECK(failure(control).find("a message that is none") != std::string::npos);
  }
  SUBCASE("an image that is none") {
    auto* file = message.mutable_images()->add_files();
    file->set_name("mm-1.img");
    file->set_content("\x19\x43\x56\x54 this is no image");
    control.send(message);
    CHECK(failure(control).starts_with("entry "));
  }
  SUBCASE("an image that nobody knows") {
    message.mutable_images()->add_files()->set_name("../../etc/shadow");
    control.send(message);
    CHECK(failure(control) == "there is no image of that name");
  }
  SUBCASE("a layout whose memory is no message") {
    message.mutable_layout()->add_spaces()->set_mm("\xff\xff\xff\xff");
    control.send(message);
    CHECK(failure(control) == "the memory description does not parse");
  }
  SUBCASE("pages on the control connection") {
    control.send(wire::frame(FrameType::pages, std::string(64, '\0')));
    CHECK(failure(control).find("control connection") != std::string::npos);
  }
  SUBCASE("bad pages on a data connection") {
    RawClient data(agent.port(), keys(agent));
    data.begin_data(control.data_key());
    REQUIRE(data.handshake());
    wire::Join join;
    join.session = session;
    join.stream = 1;
    data.send(wire::frame_join(join));
    REQUIRE(data.receive()->first == FrameType::joined);
    data.send(wire::frame(FrameType::pages, std::string(64, '\7')));
    CHECK(failure(control) != "none");
    CHECK(data.ended());
  }
  SUBCASE("a data connection that joins twice") {
    wire::Join join;
    join.session = session;
    join.stream = 1;
    RawClient first(agent.port(), keys(agent)), second(agent.port(), keys(agent));
    first.begin_data(control.data_key());
    second.begin_data(control.data_key());
    REQUIRE((first.handshake() && second.handshake()));
    first.send(wire::frame_join(join));
    REQUIRE(first.receive()->first == FrameType::joined);
    second.send(wire::frame_join(join));
    CHECK(failure(second).find("stream 1") != std::string::npos);
    CHECK(second.ended());
    return;  // the session itself goes on
  }
  SUBCASE("a data connection that has seen the token and does not have the key") {
    RawClient data(agent.port(), keys(agent));
    data.begin_data(control.data_key(), false);
    CHECK_FALSE(data.handshake());
    return;
  }
  SUBCASE("a data connection with the wrong key") {
    wire::DataKey wrong = control.data_key();
    wrong.secret[0] ^= std::byte{1};
    RawClient data(agent.port(), keys(agent));
    data.begin_data(wrong);
    CHECK_FALSE(data.handshake());
    return;
  }
  SUBCASE("a data connection that joins another session") {
    RawClient data(agent.port(), keys(agent));
    data.begin_data(control.data_key());
    REQUIRE(data.handshake());
    wire::Join join;
    join.session = make_session_id();
    join.stream = 1;
    data.send(wire::frame_join(join));
    CHECK(failure(data).find("no such session") != std::string::npos);
    return;
  }
  CHECK(control.ended());
  CHECK(still_serves(agent));
}

TEST_CASE("silent clients do not keep others out") {
  AgentOptions options;
  options.max_sessions = 4;
  options.greeting_timeout_ms = 60'000;
  TestAgent agent(options);
  RawClient running(agent.port(), keys(agent));
  REQUIRE(running.handshake());
  running.send(hello(make_session_id()));
  REQUIRE(running.receive_message()->has_welcome());
  std::vector<std::unique_ptr<RawClient>> silent;
  bool authenticated = false;
  SUBCASE("that say nothing") {}
  SUBCASE("that have a certificate and then say nothing") {
    authenticated = true;
  }
  for (int i = 0; i < 300; ++i) {
    silent.push_back(std::make_unique<RawClient>(agent.port(), keys(agent)));
    CHECK(silent.back()->connected());
    if (authenticated) CHECK(silent.back()->handshake());
    if (i % 50 == 0) running.send(wire::frame_u64(FrameType::ping, 1));  // as a source does
  }
  const int64_t began_us = monotonic_us();
  CHECK(still_serves(agent));
  CHECK(wire::query_session(agent.to(), Deadline::in_ms(20'000)).state() == "unknown");
  CHECK(monotonic_us() - began_us <
        10'000'000);  // a slow machine takes a part of it; before, it took the greeting's time
  char byte = 0;
  const ssize_t end = ::recv(silent.front()->fd(), &byte, 1, 0);  // the oldest has gone
  CHECK((end == 0 || (end < 0 && errno == ECONNRESET)));
  SessionMessage prepare;
  prepare.mutable_prepare();
  running.send(prepare);
  CHECK(running.receive_message()->has_prepared());
}

TEST_CASE("strangers cannot fill the log") {
  const Fd log_file(::memfd_create("log", MFD_CLOEXEC));
  const Fd before(::fcntl(2, F_DUPFD_CLOEXEC, 3));
  ::dup2(log_file.get(), 2);
  ::setenv("CRX_TEST_LOG", "1", 0);
  {
    TestAgent agent;
    for (int i = 0; i < 200; ++i) {
      RawClient client(agent.port(), keys(agent));
      ::send(client.fd(), "GET / HTTP/1.0\r\n\r\n", 18, MSG_NOSIGNAL);
      char byte[256];
      while (::recv(client.fd(), byte, sizeof byte, 0) > 0) {
      }
    }
    ::dup2(before.get(), 2);
  }
  ::unsetenv("CRX_TEST_LOG");
  const std::string text = read_fd(log_file.get(), "the log");
  std::size_t lines = 0;
  for (std::size_t at = 0; (at = text.find("does not speak crx's protocol", at)) != std::string::npos; ++at) ++lines;
  CHECK(lines >= 1);
  CHECK(lines < 100);
}

TEST_CASE("a source that only sends pings is sent away") {
  AgentOptions options;
  options.idle_timeout_ms = 1'000;
  options.max_sessions = 1;
  TestAgent agent(options);
  RawClient client(agent.port(), keys(agent));
  REQUIRE(client.handshake());
  client.send(hello(make_session_id()));
  REQUIRE(client.receive_message()->has_welcome());
  const Deadline busy = Deadline::in_ms(2'500);  // a source that does something stays
  SessionMessage images;
  images.mutable_images();
  while (!busy.passed()) {
    client.send(images);
    REQUIRE(client.receive_message()->has_images());
  }
  std::optional<SessionMessage> message;
  for (int i = 0; i < 300 && !message; ++i) {
    client.send(wire::frame_u64(FrameType::ping, 1));
    const auto frame = client.receive();
    REQUIRE(frame.has_value());
    if (frame->first == FrameType::message) REQUIRE(message.emplace().ParseFromString(frame->second));
    ::poll(nullptr, 0, 100);
  }
  REQUIRE((message && message->has_failure()));
  CHECK(message->failure().reason() == "nothing has come from the source for 1 s");
  CHECK(message->failure().hint().find("--idle-timeout") != std::string::npos);
  const Deadline deadline = Deadline::in_ms(20'000);
  bool served = false;
  while (!(served = still_serves(agent)) && !deadline.passed()) {
  }
  CHECK(served);
}

TEST_CASE("each certificate has its own policy, by any of its names") {
  AgentOptions options;
  options.policy.max_memory = 1;
  options.peers = {{"other", {}}, {"second.example", {}}, {"other", {}}};
  for (std::size_t i = 0; i < options.peers.size(); ++i) options.peers[i].policy.max_memory = 10 + i;
  TestAgent agent(options);
  agent.ca().issue(agent.dir() + "/other", "other", "DNS:other");
  agent.ca().issue(agent.dir() + "/second", "second", "DNS:second,DNS:second.example");
  agent.ca().issue(agent.dir() + "/third", "otherwise", "DNS:third");
  for (const auto& [certificate, limit] : std::vector<std::pair<std::string, std::string>>{
           {"/other", "10"}, {"/second", "11"}, {"/third", "1"}, {"/client", "1"}}) {
    RawClient client(agent.port(), agent.dir() + certificate);
    REQUIRE(client.handshake());
    client.send(hello(make_session_id()));
    REQUIRE(client.receive_message()->has_welcome());
    SessionMessage message;
    message.mutable_preflight()->add_tasks()->set_comm("policy");
    client.send(message);
    const auto answer = client.receive_message();
    REQUIRE((answer && answer->has_preflight_result() && answer->preflight_result().findings_size() == 1));
    CHECK(answer->preflight_result().findings(0).object() == limit);
  }
}

TEST_CASE("more sessions than allowed") {
  AgentOptions options;
  options.max_sessions = 1;
  TestAgent agent(options);
  RawClient first(agent.port(), keys(agent)), second(agent.port(), keys(agent));
  REQUIRE((first.handshake() && second.handshake()));
  const std::string session = make_session_id();
  first.send(hello(session));
  REQUIRE(first.receive_message()->has_welcome());
  SUBCASE("another one") {
    second.send(hello(make_session_id()));
    const auto answer = second.receive_message();
    REQUIRE((answer && answer->has_failure()));
    CHECK(answer->failure().hint().find("--max-sessions") != std::string::npos);
  }
  SUBCASE("the same one") {
    second.send(hello(session));
    CHECK(failure(second).find("open already") != std::string::npos);
  }
}

TEST_CASE("more sessions of one certificate than allowed") {
  AgentOptions options;
  options.max_sessions = 3;
  options.max_peer_sessions = 1;
  TestAgent agent(options);
  agent.ca().issue(agent.dir() + "/other", "other", "DNS:other");
  RawClient first(agent.port(), keys(agent)), second(agent.port(), keys(agent)),
      other(agent.port(), agent.dir() + "/other");
  REQUIRE((first.handshake() && second.handshake() && other.handshake()));
  first.send(hello(make_session_id()));
  REQUIRE(first.receive_message()->has_welcome());
  second.send(hello(make_session_id()));
  const auto answer = second.receive_message();
  REQUIRE((answer && answer->has_failure()));
  CHECK(answer->failure().reason() == "1 sessions of this peer are open already");
  CHECK(answer->failure().hint().find("--max-peer-sessions") != std::string::npos);
  other.send(hello(make_session_id()));
  CHECK(other.receive_message()->has_welcome());
}
