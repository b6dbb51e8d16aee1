// The agent's metrics and status page: their content, and that clients cannot do harm.
#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "agent-dst/front/agent_health.hpp"
#include "agent-dst/front/metrics_text.hpp"
#include "agent-dst/front/status_page.hpp"
#include "common/base/clock.hpp"
#include "common/base/fd.hpp"
#include "tests/unit/agent/process.hpp"

using namespace crx;
using namespace crx::test;

namespace {

// Returns a port that is free at the moment.
uint16_t free_port() {
  const Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof at;
  REQUIRE(::bind(fd.get(), reinterpret_cast<sockaddr*>(&at), sizeof at) == 0);
  REQUIRE(::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&at), &length) == 0);
  return ntohs(at.sin_port);
}

Fd connect_to(uint16_t port) {
  Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(::connect(fd.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) == 0);
  return fd;
}

// Reads until the server closes the connection, or sends nothing for `ms`.
std::string read_all(const Fd& fd, int ms = 20'000) {
  std::string text;
  char bytes[4096];
  pollfd ready{fd.get(), POLLIN, 0};
  while (::poll(&ready, 1, ms) == 1) {
    const ssize_t n = ::recv(fd.get(), bytes, sizeof bytes, 0);
    if (n <= 0) return text;
    text.append(bytes, static_cast<std::size_t>(n));
  }
  return text + "(not closed)";
}

std::string ask(uint16_t port, const std::string& request) {
  const Fd fd = connect_to(port);
  (void)!::send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL);
  return read_all(fd);
}

AgentOptions with_metrics(uint16_t port) {
  AgentOptions options;
  options.metrics = wire::Endpoint{"127.0.0.1", port};
  return options;
}

}  // namespace

TEST_CASE("metrics: the pages show what was counted, and escape what peers say") {
  ipc::AgentCounters counters{};
  counters.committed = 3;
  counters.content_pages = 5;
  counters.zero_pages = 7;
  counters.downtimes = 2;
  counters.downtime_us = 9000;
  counters.downtime_buckets.add(ipc::kDowntimeBounds, 4000);
  counters.downtime_buckets.add(ipc::kDowntimeBounds, 5000);
  counters.refusals[1] = 2;
  ipc::SessionFigures session;
  session.id = "0123";
  session.peer = "<script>\"x\"&y\n</script>";
  session.processes = 4;
  ipc::SessionFigures resumed = session;
  resumed.downtime_us = 1;
  const std::string metrics = front::metrics_text(counters, {session, resumed});
  for (const char* line :
       {"crx_sessions_total{outcome=\"committed\"} 3\n", "crx_vessels_warm 4\n", "crx_received_raw_bytes_total 49152\n",
        "crx_downtime_seconds_sum 0.009001\n", "crx_downtime_seconds_count 3\n",
        "# TYPE crx_downtime_seconds histogram\n", "crx_downtime_seconds_bucket{le=\"0.001\"} 1\n",
        "crx_downtime_seconds_bucket{le=\"0.0025\"} 1\n", "crx_downtime_seconds_bucket{le=\"0.005\"} 3\n",
        "crx_downtime_seconds_bucket{le=\"+Inf\"} 3\n", "crx_refusals_total{reason=\"sessions\"} 2\n",
        "crx_healthy 0\n"}) {
    CHECK_MESSAGE(metrics.find(line) != std::string::npos, metrics);
  }
}

TEST_CASE("status page: it escapes what peers and programs say, in HTML and in JSON") {
  ipc::AgentCounters counters{};
  counters.committed = 3;
  const std::string hostile = "<script>\"x\"&y\n</script>\xff";
  ipc::SessionFigures session;
  session.id = "0123456789abcdef";
  session.peer = hostile;
  session.bytes_per_second = 3 << 20;
  ipc::BoardLists lists;
  lists.shown_trees = lists.shown_ended = lists.shown_sets = 1;
  lists.all_trees = 5;
  lists.trees[0].comm.set(hostile);
  lists.trees[0].peer.set(hostile);
  lists.trees[0].memory_bytes = 5 << 20;
  lists.ended[0].outcome.set("refused");
  lists.ended[0].detail.set(hostile);
  lists.sets[0].name.set(hostile);
  const std::vector<ipc::SessionFigures> open = {session};
  const front::StatusView view{counters, open, lists, 1'800'000'000'000'000'000, 0};
  const std::string page = front::status_html(view);
  CHECK(page.find("<script") == std::string::npos);
  CHECK(page.find("&lt;script&gt;&quot;x&quot;&amp;y\xef\xbf\xbd&lt;/script&gt;\xef\xbf\xbd") != std::string::npos);
  for (const char* part : {"5.0 MiB", "3.0 MiB/s", "and 4 more", "2027-01-15 08:00:00", "not healthy"})
    CHECK_MESSAGE(page.find(part) != std::string::npos, part);
  const nlohmann::json status = nlohmann::json::parse(front::status_json(view));
  CHECK(status.at("trees").at(0).at("comm") == "<script>\"x\"&y\n</scr");  // as long as a name may be
  CHECK(status.at("open").at(0).at("bytes_per_second") == 3 << 20);
  CHECK(status.at("history").at(0).at("outcome") == "refused");
  CHECK(status.at("sets").size() == 1);
  CHECK(status.at("healthy") == false);
}

TEST_CASE("health: what keeps the agent from its work") {
  ipc::AgentCounters counters{};
  counters.beat_ms = 1'000'000;
  counters.signer_is_ready = 1;
  counters.store_is_writable = 1;
  counters.store_free_bytes = uint64_t{1} << 30;
  CHECK(front::health_problems(counters, 1'003'000).empty());
  CHECK(front::health_problems(counters, 1'060'000).at(0).find("60 s") != std::string::npos);
  counters.store_free_bytes = 1 << 20;
  counters.signer_is_ready = 0;
  counters.is_stopping = 1;
  CHECK(front::health_problems(counters, 1'003'000).size() == 3);
  counters.store_is_writable = 0;
  CHECK(front::health_problems(counters, 1'003'000).back() == "the store cannot be written");
}

TEST_CASE("metrics: pages for requests, and nothing else") {
  const uint16_t port = free_port();
  const TestAgent agent(with_metrics(port));
  const std::string metrics = ask(port, "GET /metrics?x=1 HTTP/1.1\r\nHost: a\r\n\r\n");
  CHECK(metrics.starts_with("HTTP/1.1 200 OK\r\n"));
  CHECK(metrics.find("\r\n\r\n# HELP crx_build_info") != std::string::npos);
  CHECK(ask(port, "GET /healthz HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 200 OK\r\n"));
  CHECK(ask(port, "GET /status.json HTTP/1.1\r\n\r\n").find("\r\n\r\n{\"version\":") != std::string::npos);
  CHECK(ask(port, "GET http://a/ HTTP/1.0\r\n\r\n").find("<h1>crx-agent") != std::string::npos);
  const std::string head = ask(port, "HEAD / HTTP/1.1\r\n\r\n");
  CHECK(head.starts_with("HTTP/1.1 200 OK\r\n"));
  CHECK(head.ends_with("\r\n\r\n"));
  CHECK(ask(port, "GET /../../etc/passwd HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 "));
  CHECK(ask(port, "POST / HTTP/1.1\r\nContent-Length: 9999999\r\n\r\n").starts_with("HTTP/1.1 405 "));
  CHECK(ask(port, "GET * HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 "));
  CHECK(ask(port, "CONNECT a:1 HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 400 "));
  CHECK(ask(port, "\x16\x03\x01\x02\x01 what is this").starts_with("HTTP/1.1 400 "));
  CHECK(ask(port, "GET / HTTP/x\r\n\r\n").starts_with("HTTP/1.1 400 "));
  // A request without an end. Unread bytes may reset the connection before the answer is read.
  const std::string endless = ask(port, "GET / HTTP/1.1\r\nX: " + std::string(1 << 20, 'x'));
  CHECK((endless.empty() || endless.starts_with("HTTP/1.1 400 ")));
  CHECK(ask(port, "GET /metrics HTTP/1.1\r\n\r\n").find("crx_connections_total 0\n") != std::string::npos);
}

TEST_CASE("metrics: silent connections are closed and delay neither sessions nor others for long") {
  const uint16_t port = free_port();
  const TestAgent agent(with_metrics(port));
  std::vector<Fd> silent;
  for (int i = 0; i < 20; ++i) {
    silent.push_back(connect_to(port));
    (void)!::send(silent.back().get(), "GET /", 5, MSG_NOSIGNAL);
  }
  const int64_t began = monotonic_us();
  const auto link = wire::connect_source(agent.to());
  CHECK(monotonic_us() - began < 4'000'000);
  CHECK(read_all(silent.front()).empty());
  // The 20 silent connections are dropped at their time limit, and this one waits in the kernel's queue, for twice that
  // limit at most.
  CHECK(ask(port, "GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 200 "));
}
