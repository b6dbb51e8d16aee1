// The signer: what it signs, whom it vouches for, and that nobody else has the key.
#include "agent-dst/signer/signer.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/ssl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "agent-dst/signer/transcript.hpp"
#include "common/base/error.hpp"
#include "common/base/fd.hpp"
#include "tests/unit/agent/process.hpp"
#include "wire/connection/remote_key.hpp"

using namespace crx;
using namespace crx::test;
using signer::Transcript;
using wire::TlsContext;
using wire::TlsRole;

namespace {

constexpr uint16_t kSuite = 0x1301, kDigestBits = 256;

std::shared_ptr<const TlsContext> server_keys(const std::string& dir) {
  return std::make_shared<TlsContext>(TlsRole::server, dir);
}

// A handshake in memory, as the process of a connection sees it that has been taken over: it lets everybody in.
struct Handshake {
  Handshake(const std::string& server_dir, const std::string& client_dir, Transcript& transcript) {
    wire::RemoteKey key;
    const TlsContext server(TlsRole::server, wire::open_tls_files(wire::TlsFiles(server_dir)), key);
    const TlsContext client(TlsRole::client, client_dir);
    key.sign = [&](std::string_view) {
      begin = messages;
      return transcript.sign(begin, kSuite, kDigestBits);
    };
    SSL* const ends[] = {client.new_connection("127.0.0.1"), server.new_connection({})};
    SSL_set_verify(ends[1], SSL_VERIFY_PEER, [](int, X509_STORE_CTX*) { return 1; });
    SSL_set_msg_callback(ends[1], [](int, int, int type, const void* bytes, std::size_t count, SSL*, void* to) {
      if (type == SSL3_RT_HANDSHAKE) static_cast<std::string*>(to)->append(static_cast<const char*>(bytes), count);
    });
    SSL_set_msg_callback_arg(ends[1], &messages);
    BIO *one = nullptr, *other = nullptr;
    BIO_new_bio_pair(&one, 0, &other, 0);
    SSL_set_bio(ends[0], one, one);
    SSL_set_bio(ends[1], other, other);
    for (int i = 0; i < 8 && !complete; ++i) {
      const int here = SSL_do_handshake(ends[0]);
      complete = SSL_do_handshake(ends[1]) == 1 && here == 1;
    }
    for (SSL* end : ends) SSL_free(end);
    rest = messages.substr(begin.size());
  }

  std::string messages, begin, rest;
  bool complete = false;
};

template <typename Call>
std::string refusal_of(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return error.reason();
  }
  return "none";
}

std::size_t bytes_of_message(const std::string& messages, std::size_t at) {
  const auto byte = [&](std::size_t i) {
    return static_cast<std::size_t>(static_cast<unsigned char>(messages[at + i]));
  };
  return 4 + (byte(1) << 16 | byte(2) << 8 | byte(3));
}

struct Hosts {
  Hosts() {
    ca.issue(agents, "agent", "IP:127.0.0.1");
    ca.issue(clients, "client", "DNS:client.example,DNS:two.example");
  }
  TempDir dir;
  TestCa ca;
  std::string agents = dir.path() + "/agent", clients = dir.path() + "/client";
};

bool memory_has(pid_t pid, const std::vector<std::string>& secrets) {
  std::ifstream maps("/proc/" + std::to_string(pid) + "/maps");
  const Fd memory = open_checked("/proc/" + std::to_string(pid) + "/mem", O_RDONLY);
  std::string line;
  while (std::getline(maps, line)) {
    unsigned long start = 0, end = 0;
    char writable = '-';
    if (std::sscanf(line.c_str(), "%lx-%lx %*c%c", &start, &end, &writable) != 3 || writable != 'w') continue;
    std::string bytes(end - start, '\0');
    const ssize_t n = ::pread(memory.get(), bytes.data(), bytes.size(), static_cast<off_t>(start));
    if (n <= 0) continue;
    bytes.resize(static_cast<std::size_t>(n));
    for (const std::string& secret : secrets) {
      if (bytes.find(secret) != std::string::npos) return true;
    }
  }
  return false;
}

// The private number of the key in both byte orders, and a line of the file.
std::vector<std::string> secrets_of(const std::string& path) {
  FILE* file = std::fopen(path.c_str(), "r");
  REQUIRE(file != nullptr);
  EVP_PKEY* key = PEM_read_PrivateKey(file, nullptr, nullptr, nullptr);
  std::fclose(file);
  BIGNUM* number = nullptr;
  REQUIRE(EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_PRIV_KEY, &number) == 1);
  std::string big(32, '\0');
  BN_bn2binpad(number, reinterpret_cast<unsigned char*>(big.data()), 32);
  BN_clear_free(number);
  EVP_PKEY_free(key);
  std::ifstream text(path);
  std::string line;
  std::getline(text, line);
  std::getline(text, line);
  return {big, std::string(big.rbegin(), big.rend()), line};
}

std::vector<std::pair<std::string, pid_t>> processes_of(const TestAgent& agent) {
  std::vector<std::pair<std::string, pid_t>> found = {{"crx-agent", agent.pid()}};
  const std::string pid = std::to_string(agent.pid());
  std::ifstream list("/proc/" + pid + "/task/" + pid + "/children");
  for (pid_t child = 0; list >> child;) {
    std::string name;
    std::getline(std::ifstream("/proc/" + std::to_string(child) + "/comm"), name);
    found.emplace_back(name, child);
  }
  return found;
}

pid_t process_of(const TestAgent& agent, const std::string& name) {
  for (const auto& [comm, pid] : processes_of(agent)) {
    if (comm == name) return pid;
  }
  return 0;
}

std::unique_ptr<wire::SourceLink> session_with(const wire::ConnectOptions& options) {
  auto link = wire::connect_source(options);
  wire::SessionMessage hello;
  hello.mutable_hello();
  link->send(hello);
  const auto answer = link->receive(Deadline::in_ms(20'000));
  REQUIRE((answer && answer->has_welcome()));
  return link;
}

}  // namespace

TEST_CASE("the signer vouches for a client that has signed this handshake") {
  const Hosts hosts;
  Transcript transcript(server_keys(hosts.agents));
  const Handshake handshake(hosts.agents, hosts.clients, transcript);
  REQUIRE(handshake.complete);
  const wire::PeerIdentity who = transcript.authenticate(handshake.rest);
  CHECK(who.name == "client.example");
  CHECK(who.names == std::vector<std::string>{"client.example", "two.example"});
  CHECK(who.fingerprint.size() == 64);
  CHECK(refusal_of([&] { transcript.authenticate(handshake.rest); }) == "nothing has been signed");
}

TEST_CASE("the signer vouches for nobody without a proof") {
  const Hosts hosts;
  const auto keys = server_keys(hosts.agents);
  Transcript transcript(keys);
  const Handshake handshake(hosts.agents, hosts.clients, transcript);
  REQUIRE(handshake.complete);
  std::string rest = handshake.rest;
  const std::size_t verify = bytes_of_message(rest, 0), finished = bytes_of_message(rest, verify);
  const std::size_t certificate = verify + finished;
  const std::size_t client_verify = certificate + bytes_of_message(rest, certificate);
  const auto refused = [&] { return refusal_of([&] { transcript.authenticate(rest); }); };
  SUBCASE("a signature of the client that is wrong") {
    rest[client_verify + bytes_of_message(rest, client_verify) - 1] ^= 1;
    CHECK(refused() == "the peer's signature is wrong");
  }
  SUBCASE("another certificate than the one whose key has signed") {
    hosts.ca.issue(hosts.clients, "other", "DNS:other.example");
    Transcript second(keys);
    const Handshake other(hosts.agents, hosts.clients, second);
    const std::size_t at = bytes_of_message(other.rest, 0) + finished;
    rest.replace(certificate, client_verify - certificate, other.rest.substr(at, bytes_of_message(other.rest, at)));
    CHECK(refused() == "the peer's signature is wrong");
  }
  SUBCASE("messages that are missing") {
    rest.resize(client_verify);
    CHECK(refused() == "a message is cut off");
  }
  SUBCASE("a message in place of another") {
    rest.erase(certificate, client_verify - certificate);
    CHECK(refused() == "a message is missing");
  }
  SUBCASE("an older handshake again") {
    Transcript later(keys);
    const std::string signature = later.sign(handshake.begin, kSuite, kDigestBits);
    CHECK(refusal_of([&] { later.authenticate(handshake.rest); }) == "the signature is another one");
    Transcript latest(keys);
    const std::string fresh = latest.sign(handshake.begin, kSuite, kDigestBits);
    std::string own = handshake.rest.substr(0, 6) + std::string(1, '\0') + static_cast<char>(fresh.size()) + fresh;
    own[3] = static_cast<char>(own.size() - 4);
    CHECK(refusal_of([&] { latest.authenticate(own + handshake.rest.substr(verify)); }) ==
          "the peer's signature is wrong");
  }
}

TEST_CASE("the signer checks certificates as the handshake does, whatever the process of the connection says") {
  const Hosts hosts;
  const TestCa other("other CA");
  std::string expected;
  SUBCASE("another authority's") {
    other.issue(hosts.clients, "client", "DNS:client.example");
    hosts.ca.write_ca(hosts.clients);
    expected = "unable to get local issuer certificate";
  }
  SUBCASE("one that is revoked") {
    hosts.ca.write_list(hosts.agents + "/crl.pem", {hosts.clients});
    expected = "certificate revoked";
  }
  Transcript transcript(server_keys(hosts.agents));
  const Handshake handshake(hosts.agents, hosts.clients, transcript);
  REQUIRE(handshake.complete);
  CHECK(refusal_of([&] { transcript.authenticate(handshake.rest); }) == expected);
}

TEST_CASE("the signer signs one whole handshake, and no other text") {
  const Hosts hosts;
  const auto keys = server_keys(hosts.agents);
  Transcript first(keys);
  const Handshake handshake(hosts.agents, hosts.clients, first);
  REQUIRE(handshake.complete);
  const std::string& begin = handshake.begin;
  CHECK(refusal_of([&] { first.sign(begin, kSuite, kDigestBits); }) == "a second signature is asked for");
  const auto refused = [&](const std::string& messages) {
    Transcript transcript(keys);
    return refusal_of([&] { transcript.sign(messages, kSuite, kDigestBits); });
  };
  CHECK(refused("") == "a message is cut off");
  CHECK(refused(begin.substr(0, begin.size() - 1)) == "a message is cut off");
  CHECK(refused(begin + begin) == "there are too many messages");
  CHECK(refused(begin.substr(bytes_of_message(begin, 0))) == "a message is missing");
  Transcript nothing(keys);
  CHECK(refusal_of([&] { nothing.authenticate(handshake.rest); }) == "nothing has been signed");
  Transcript odd(keys);
  CHECK(refusal_of([&] { odd.sign(begin, kSuite, 160); }) == "the digest is unknown");
}

TEST_CASE("no process but the signer has the private key in its memory") {
  TempDir dir;
  AgentOptions options;
  options.tls_dir = dir.path() + "/agent";
  // The agent is forked from here, so the key must not have been here.
  const pid_t maker = ::fork();
  if (maker == 0) {
    const TestCa ca;
    ca.issue(options.tls_dir, "agent", "IP:127.0.0.1");
    ca.issue(dir.path() + "/client", "client", "DNS:client.example");
    ::_exit(0);
  }
  int status = -1;
  REQUIRE((::waitpid(maker, &status, 0) == maker && status == 0));
  TestAgent agent(options);
  const auto link = session_with(agent.to(dir.path() + "/client"));
  const auto secrets = secrets_of(options.tls_dir + "/key.pem");
  std::vector<std::string> holders, others;
  for (const auto& [name, pid] : processes_of(agent)) (memory_has(pid, secrets) ? holders : others).push_back(name);
  CHECK(holders == std::vector<std::string>{"crx-signer"});
  std::sort(others.begin(), others.end());
  CHECK(others == std::vector<std::string>{"crx-agent", "crx-engine", "crx-front", "crx-session"});
}

TEST_CASE("the signer killed: sessions go on, and new ones are opened") {
  TestAgent agent;
  const auto link = session_with(agent.to());
  const pid_t killed = process_of(agent, "crx-signer");
  REQUIRE(killed > 0);
  REQUIRE(::kill(killed, SIGKILL) == 0);
  wire::SessionMessage prepare;
  prepare.mutable_prepare();
  link->send(prepare);
  const auto answer = link->receive(Deadline::in_ms(20'000));
  CHECK((answer && answer->has_prepared()));
  std::string last = "none";
  const Deadline deadline = Deadline::in_ms(20'000);
  do {
    last = refusal_of([&] { session_with(agent.to()); });
  } while (last != "none" && !deadline.passed());
  CHECK(last == "none");
  CHECK(process_of(agent, "crx-signer") != killed);
}
