// Certificates with every kind of fault, on either side, and the messages that the user at the source gets.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <malloc.h>

#include "common/base/error.hpp"
#include "common/base/fd.hpp"
#include "tests/unit/agent/process.hpp"
#include "tests/unit/agent/raw_client.hpp"
#include "tests/unit/agent/raw_server.hpp"
#include "wire/connection/tls_context.hpp"

using namespace crx;
using namespace crx::test;

namespace {

std::string refusal(const wire::ConnectOptions& options) {
  try {
    auto link = wire::connect_source(options);
  } catch (const Error& error) {
    return error.what();
  }
  return "connected";
}

bool mentions(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

std::string refusal_to_start(const AgentOptions& options) {
  try {
    run_agent(options, test_engine);
  } catch (const Error& error) {
    return error.what();
  }
  return "it started";
}

// A session up to Welcome.
std::unique_ptr<wire::SourceLink> greeted(const wire::ConnectOptions& options) {
  auto link = wire::connect_source(options);
  wire::SessionMessage hello;
  hello.mutable_hello();
  link->send(hello);
  const auto answer = link->receive(Deadline::in_ms(20'000));
  REQUIRE((answer && answer->has_welcome()));
  return link;
}

AgentOptions with_keys(const std::string& dir) {
  AgentOptions options;
  options.tls_dir = dir;
  return options;
}

}  // namespace

TEST_CASE("a client with a certificate of another CA") {
  TestAgent agent;
  TempDir dir;
  TestCa other("other CA");
  other.issue(dir.path(), "client", "DNS:x");
  SUBCASE("does not trust the agent") {
    const std::string text = refusal(agent.to(dir.path()));
    CAPTURE(text);
    CHECK(mentions(text, "is from another CA than " + dir.path() + "/ca.pem"));
    CHECK(mentions(text, "127.0.0.1:"));
    CHECK(mentions(text, "crx-keys"));
  }
  SUBCASE("is not trusted by the agent") {
    agent.ca().write_ca(dir.path());
    const std::string text = refusal(agent.to(dir.path()));
    CAPTURE(text);
    CHECK(mentions(text, "does not accept " + dir.path() + "/cert.pem: it is from another CA"));
  }
}

TEST_CASE("an agent with an expired certificate does not start; its message names the file") {
  TempDir dir;
  TestCa ca;
  ca.issue(dir.path(), "agent", "IP:127.0.0.1", -7200, -3600);
  AgentOptions options = with_keys(dir.path());
  options.store = dir.path() + "/store";
  options.listen = {"127.0.0.1", 0};
  const std::string text = refusal_to_start(options);
  CHECK(mentions(text, dir.path() + "/cert.pem expired on "));
  CHECK(mentions(text, "crx-keys"));
}

TEST_CASE("a client whose certificate has expired gets an error before it connects") {
  TestAgent agent;
  TempDir dir;
  agent.ca().issue(dir.path(), "client", "DNS:x", -7200, -3600);
  CHECK(mentions(refusal(agent.to(dir.path())), dir.path() + "/cert.pem expired on "));
}

TEST_CASE("a certificate that expires while the agent runs") {
  TempDir dir;
  TestCa ca;
  ca.issue(dir.path() + "/agent", "agent", "IP:127.0.0.1", -60, 2);
  ca.issue(dir.path() + "/client", "client", "DNS:x");
  TestAgent agent(with_keys(dir.path() + "/agent"));
  std::string text;
  const Deadline deadline = Deadline::in_ms(20'000);
  do {
    text = refusal(agent.to(dir.path() + "/client"));
  } while (text == "connected" && !deadline.passed());
  CAPTURE(text);
  CHECK(mentions(text, "expired on "));
  CHECK(mentions(text, "clocks"));
}

TEST_CASE("an agent with a certificate for another name") {
  TempDir dir;
  TestCa ca;
  ca.issue(dir.path() + "/agent", "host-b", "DNS:host-b.example,IP:192.0.2.7");
  ca.issue(dir.path() + "/client", "client", "DNS:x");
  TestAgent agent(with_keys(dir.path() + "/agent"));
  const std::string text = refusal(agent.to(dir.path() + "/client"));
  CAPTURE(text);
  CHECK(mentions(text, "has a certificate for another name: host-b.example, 192.0.2.7"));
  CHECK(mentions(text, "--to"));
}

TEST_CASE("a common name is no name: certificates need a subjectAltName") {
  TempDir dir;
  TestCa ca;
  ca.issue(dir.path() + "/good", "agent", "IP:127.0.0.1,DNS:client");
  ca.issue(dir.path() + "/unnamed", "127.0.0.1", "");
  SUBCASE("the agent's own") {
    AgentOptions options = with_keys(dir.path() + "/unnamed");
    options.store = dir.path() + "/store";
    options.listen = {"127.0.0.1", 0};
    const std::string text = refusal_to_start(options);
    CHECK(mentions(text, "no peer accepts " + dir.path() + "/unnamed/cert.pem: it has no subjectAltName"));
    CHECK(mentions(text, "crx-keys"));
  }
  SUBCASE("the client's own") {
    TestAgent agent(with_keys(dir.path() + "/good"));
    CHECK(mentions(refusal(agent.to(dir.path() + "/unnamed")), "cert.pem: it has no subjectAltName"));
  }
  SUBCASE("the client's, at the agent") {
    TestAgent agent(with_keys(dir.path() + "/good"));
    RawClient client(agent.port(), dir.path() + "/unnamed");
    if (client.handshake()) CHECK(client.alert() == "sslv3 alert bad certificate");
  }
  SUBCASE("the agent's, at the client") {
    TestAgent agent(with_keys(dir.path() + "/good"));
    RawServer server(dir.path() + "/unnamed");
    auto options = agent.to(dir.path() + "/good");
    options.to.port = server.port();
    CHECK(mentions(refusal(options), "is refused: it has no subjectAltName"));
  }
  SUBCASE("nor is a name with a command to the terminal") {
    AgentOptions options = with_keys(dir.path() + "/good");
    options.allow = {"x\x1b[2J"};
    ca.issue(dir.path() + "/client", "client", "DNS:x\x1b[2J,DNS:good.example");
    TestAgent agent(options);
    CHECK(mentions(refusal(agent.to(dir.path() + "/client")), "good.example is not allowed"));
  }
  SUBCASE("--allow does not look at it") {
    AgentOptions options = with_keys(dir.path() + "/good");
    options.allow = {"somebody"};
    ca.issue(dir.path() + "/client", "somebody", "DNS:else.example");
    TestAgent agent(options);
    CHECK(mentions(refusal(agent.to(dir.path() + "/client")), "else.example is not allowed"));
  }
}

TEST_CASE("certificates need the extended key usage of their side") {
  TempDir dir;
  TestCa ca;
  ca.issue(dir.path() + "/good", "agent", "IP:127.0.0.1");
  const auto issue = [&](const char* usage) {
    ca.issue(dir.path() + "/bad", "agent", "IP:127.0.0.1", -60, 3600, usage);
    return dir.path() + "/bad";
  };
  const auto own_fault = [&](const std::string& keys) {
    AgentOptions options = with_keys(keys);
    options.store = dir.path() + "/store";
    options.listen = {"127.0.0.1", 0};
    return refusal_to_start(options);
  };
  TestAgent agent(with_keys(dir.path() + "/good"));
  for (const char* usage : {"", "serverAuth", "codeSigning"}) {  // a client's
    CAPTURE(usage);
    const std::string bad = issue(usage);
    CHECK(mentions(refusal(agent.to(bad)), "cert.pem: its extendedKeyUsage does not contain clientAuth"));
    RawClient client(agent.port(), bad);
    if (client.handshake()) CHECK(client.alert().find("certificate") != std::string::npos);
  }
  for (const char* usage : {"", "clientAuth", "codeSigning"}) {  // an agent's
    CAPTURE(usage);
    const std::string bad = issue(usage);
    CHECK(mentions(own_fault(bad), "cert.pem: its extendedKeyUsage does not contain serverAuth"));
    RawServer server(bad);
    auto options = agent.to(dir.path() + "/good");
    options.to.port = server.port();
    CHECK(mentions(refusal(options), "is refused: its extendedKeyUsage does not contain serverAuth"));
  }
}

TEST_CASE("a client not in --allow") {
  AgentOptions options;
  options.allow = {"somebody.example"};
  TestAgent agent(options);
  const std::string text = refusal(agent.to());
  CAPTURE(text);
  CHECK(mentions(text, "client.example is not allowed to move processes here"));
  CHECK(mentions(text, "--allow"));
}

TEST_CASE("key files that are missing, or of another certificate") {
  TestAgent agent;
  TempDir dir;
  CHECK(mentions(refusal(agent.to(dir.path())), dir.path() + "/ca.pem: No such file"));
  TestCa other;
  agent.ca().issue(dir.path(), "a", "DNS:a");
  std::filesystem::copy_file(dir.path() + "/key.pem", dir.path() + "/old.pem");
  agent.ca().issue(dir.path(), "a", "DNS:a");
  std::filesystem::rename(dir.path() + "/old.pem", dir.path() + "/key.pem");
  CHECK(mentions(refusal(agent.to(dir.path())), dir.path() + "/key.pem is not the key of " + dir.path() + "/cert.pem"));
}

TEST_CASE("revoked certificates are refused, on either side") {
  TempDir dir;
  TestCa ca, other("other CA");
  const std::string agents = dir.path() + "/agent", clients = dir.path() + "/client";
  ca.issue(agents, "agent", "IP:127.0.0.1");
  ca.issue(clients, "client", "DNS:client");
  SUBCASE("the client's: crl.pem in the directory of keys") {
    ca.write_list(agents + "/crl.pem", {clients});
    TestAgent agent(with_keys(agents));
    CHECK(mentions(refusal(agent.to(clients)), "does not accept " + clients + "/cert.pem: it is revoked there"));
  }
  SUBCASE("the client's: a file that is named") {
    AgentOptions options = with_keys(agents);
    options.tls_crl = dir.path() + "/list";
    options.store = dir.path() + "/store";
    options.listen = {"127.0.0.1", 0};
    CHECK(mentions(refusal_to_start(options), dir.path() + "/list: No such file"));
    open_checked(options.tls_crl, O_CREAT | O_WRONLY, 0600);
    write_file(options.tls_crl, "nothing");
    CHECK(mentions(refusal_to_start(options), "/list contains no list of revoked certificates"));
    ca.write_list(options.tls_crl, {clients});
    TestAgent agent(options);
    CHECK(mentions(refusal(agent.to(clients)), "it is revoked there"));
  }
  SUBCASE("the agent's") {
    ca.write_list(clients + "/crl.pem", {agents});
    TestAgent agent(with_keys(agents));
    const std::string text = refusal(agent.to(clients));
    CAPTURE(text);
    CHECK(mentions(text, "(127.0.0.1) is revoked by " + clients + "/crl.pem"));
    CHECK(mentions(text, "crx-keys"));
  }
  SUBCASE("a list that is out of date, or another authority's") {
    TestAgent agent(with_keys(agents));
    ca.write_list(clients + "/crl.pem", {}, -7200, -3600);
    CHECK(mentions(refusal(agent.to(clients)), "/crl.pem does not tell whether the certificate of"));
    other.write_list(clients + "/crl.pem", {});
    CHECK(mentions(refusal(agent.to(clients)), "/crl.pem does not tell whether the certificate of"));
    ca.write_list(clients + "/crl.pem", {});
    CHECK(refusal(agent.to(clients)) == "connected");
  }
}

TEST_CASE("SIGHUP: keys and revocations are read again, and sessions go on") {
  TempDir dir;
  TestCa ca;
  const std::string agents = dir.path() + "/agent", clients = dir.path() + "/client", others = dir.path() + "/other";
  ca.issue(agents, "agent", "IP:127.0.0.1");
  ca.issue(clients, "client", "DNS:client");
  ca.issue(others, "other", "DNS:other");
  TestAgent agent(with_keys(agents));
  const auto link = greeted(agent.to(clients));
  const auto until = [&](const std::string& keys, const std::string& text) {
    REQUIRE(::kill(agent.pid(), SIGHUP) == 0);
    const Deadline deadline = Deadline::in_ms(20'000);
    std::string last;
    do {
      last = refusal(agent.to(keys));
    } while (!mentions(last, text) && !deadline.passed());
    CAPTURE(last);
    CHECK(mentions(last, text));
  };
  ca.write_list(agents + "/crl.pem", {clients});
  until(clients, "it is revoked there");
  ca.issue(agents, "agent", "IP:192.0.2.1");
  until(others, "has a certificate for another name: 192.0.2.1");
  ca.issue(agents, "agent", "IP:127.0.0.1");
  until(others, "connected");

  // Damaged files change nothing.
  write_file(agents + "/cert.pem", "no certificate\n");
  for (int i = 0; i < 3; ++i) {
    REQUIRE(::kill(agent.pid(), SIGHUP) == 0);
    CHECK(refusal(agent.to(others)) == "connected");
  }
  std::filesystem::remove(agents + "/key.pem");
  REQUIRE(::kill(agent.pid(), SIGHUP) == 0);
  CHECK(refusal(agent.to(others)) == "connected");
  wire::SessionMessage prepare;
  prepare.mutable_prepare();
  link->send(prepare);
  const auto answer = link->receive(Deadline::in_ms(20'000));
  CHECK((answer && answer->has_prepared()));
}

TEST_CASE("a private key that others can read is refused, with the command that mends it") {
  TestAgent agent;
  TempDir dir;
  agent.ca().issue(dir.path(), "a", "DNS:a,IP:127.0.0.1");
  const std::string key = dir.path() + "/key.pem";
  AgentOptions options = with_keys(dir.path());
  options.store = dir.path() + "/store";
  options.listen = {"127.0.0.1", 0};
  for (const mode_t mode : {0640U, 0604U, 0620U, 0644U}) {
    CAPTURE(mode);
    REQUIRE(::chmod(key.c_str(), mode) == 0);
    const std::string text = refusal(agent.to(dir.path()));
    CAPTURE(text);
    CHECK(mentions(text, key + " is accessible to its group or to all users (mode 06"));
    CHECK(mentions(text, "chmod 600 " + key));
    CHECK(mentions(refusal_to_start(options), "chmod 600 " + key));
  }
  REQUIRE(::chmod(key.c_str(), 0400) == 0);
  CHECK(refusal(agent.to(dir.path())) == "connected");
}

TEST_CASE("a server that agrees on no application protocol") {
  TestAgent agent;
  RawServer server(agent.dir() + "/agent");
  auto options = agent.to();
  options.to.port = server.port();
  const std::string text = refusal(options);
  CAPTURE(text);
  CHECK(mentions(text, "did not agree on crx/1 by ALPN"));
  CHECK(mentions(text, "is there a crx-agent on that port?"));
}

TEST_CASE("no agent listens, or another program does") {
  TestAgent agent;
  auto options = agent.to();
  const uint16_t port = agent.port();
  agent.stop();
  CHECK(mentions(refusal(options), "127.0.0.1:" + std::to_string(port)));
  CHECK(mentions(refusal(options), "is crx-agent running there"));
  options.to.host = "no-such-host.invalid";
  CHECK(mentions(refusal(options), "no-such-host.invalid"));
}

TEST_CASE("keys that are read again and again take no more memory") {
  TempDir dir;
  TestCa().issue(dir.path(), "host", "DNS:localhost");
  const auto in_use = [] {
    const auto info = ::mallinfo2();
    return info.uordblks + info.hblkhd;
  };
  const auto read = [&] { const wire::TlsContext context(wire::TlsRole::client, dir.path()); };
  read();  // OpenSSL keeps something of the first time
  const std::size_t before = in_use();
  for (int i = 0; i < 20; ++i) read();
  CHECK(in_use() < before + (std::size_t{256} << 10));
}
