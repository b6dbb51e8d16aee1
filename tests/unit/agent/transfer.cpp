// The transfer of pages: limited in rate, compressed where that helps, over other addresses.
#include <doctest/doctest.h>

#include <cstring>
#include <random>

#include "common/base/error.hpp"
#include "tests/unit/agent/process.hpp"

using namespace crx;
using namespace crx::test;
using wire::SessionMessage;

namespace {

constexpr int64_t kTransferMs = 30'000;

std::unique_ptr<wire::SourceLink> open_transfer(const wire::ConnectOptions& options) {
  auto link = wire::connect_source(options);
  SessionMessage hello;
  hello.mutable_hello();
  link->send(hello);
  auto answer = link->receive(Deadline::in_ms(kTransferMs));
  REQUIRE((answer && answer->has_welcome()));
  return link;
}

// Sends full batches whose pages repeat `period` random bytes; returns the microseconds until they have arrived.
int64_t transfer(wire::SourceLink& link, unsigned batches, std::size_t period) {
  std::mt19937_64 random(3);
  std::vector<std::byte> pattern(period);
  for (std::byte& one : pattern) one = static_cast<std::byte>(random() | 1);
  const int64_t start_us = monotonic_us();
  for (unsigned b = 0; b < batches; ++b) {
    wire::PageBuffer buffer = link.acquire();
    for (std::size_t at = 0; at < wire::kBatchBytes; at += period) {
      std::memcpy(buffer.data() + at, pattern.data(), std::min(period, wire::kBatchBytes - at));
    }
    const uint64_t addr = 0x10000000 + uint64_t{b} * wire::kBatchBytes;
    link.send_pages({PageSpace::Kind::mm, 1}, {{addr, addr + wire::kBatchBytes}}, std::move(buffer));
  }
  link.end_round(1);
  auto done = link.receive(Deadline::in_ms(kTransferMs));
  REQUIRE((done && done->has_round_done()));
  CHECK(done->round_done().pages_applied() == batches * wire::kBatchPages);
  return monotonic_us() - start_us;
}

}  // namespace

TEST_CASE("--max-bandwidth limits the rate of pages") {
  TestAgent agent;
  auto options = agent.to();
  options.compress = "none";
  options.streams = 2;
  options.max_bandwidth = 40'000'000;
  auto link = open_transfer(options);
  // 20 batches of 1 MiB; the first is sent at once.
  CHECK(transfer(*link, 20, 8192) >= 19 * 1'048'576 / 40);
}

TEST_CASE("auto compresses where the bandwidth is the limit and the pages shrink, else not") {
  TestAgent agent;
  auto options = agent.to();
  options.buffers = 4;
  std::size_t period = 1024;
  SUBCASE("limited, and they shrink") {
    options.max_bandwidth = 60'000'000;
    auto link = open_transfer(options);
    transfer(*link, 40, period);
    CHECK(link->statistics().pages_compressed > 0);
    CHECK(link->statistics().bytes_wire < link->statistics().bytes_raw);
  }
  SUBCASE("limited, but they do not shrink") {
    options.max_bandwidth = 60'000'000;
    auto link = open_transfer(options);
    transfer(*link, 20, wire::kBatchBytes);
    CHECK(link->statistics().pages_compressed == 0);
  }
  SUBCASE("loopback as fast as it goes") {
    auto link = open_transfer(options);
    transfer(*link, 200, period);
    CHECK(link->statistics().pages_compressed == 0);
  }
}

TEST_CASE("over IPv6") {
  TempDir dir;
  TestCa ca;
  ca.issue(dir.path() + "/agent", "agent", "IP:0:0:0:0:0:0:0:1");
  ca.issue(dir.path() + "/client", "client", "DNS:x");
  AgentOptions options;
  options.listen = {"::1", 0};
  options.tls_dir = dir.path() + "/agent";
  TestAgent agent(options);
  auto to = agent.to(dir.path() + "/client");
  to.to.host = "::1";
  auto link = open_transfer(to);
  CHECK(transfer(*link, 2, 4096) > 0);
}
