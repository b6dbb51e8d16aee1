// Whole sessions over loopback: connect_source on one side; supervisor, front and a test engine on the other.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstring>
#include <random>

#include "common/base/error.hpp"
#include "common/image/image_store.hpp"
#include "common/image/schema/regular.pb.h"
#include "tests/unit/agent/process.hpp"

using namespace crx;
using namespace crx::test;
using wire::SessionMessage;

namespace {

constexpr int64_t kSessionMs = 20'000;

SessionMessage receive(wire::SourceLink& link) {
  auto message = link.receive(Deadline::in_ms(kSessionMs));
  REQUIRE(message.has_value());
  return *message;
}

std::unique_ptr<wire::SourceLink> greeted_session(const wire::ConnectOptions& options, bool wait = false) {
  auto link = wire::connect_source(options);
  SessionMessage hello;
  hello.mutable_hello()->set_wait(wait);
  link->send(hello);
  REQUIRE(receive(*link).has_welcome());
  return link;
}

void preflight(wire::SourceLink& link, const std::string& what) {
  SessionMessage message;
  message.mutable_preflight()->add_tasks()->set_comm(what);
  link.send(message);
}

void commit(wire::SourceLink& link) {
  SessionMessage prepare, go;
  prepare.mutable_prepare();
  go.mutable_go();
  link.send(prepare);
  REQUIRE(receive(link).has_prepared());
  link.send(go);
  REQUIRE(receive(link).has_resumed());
}

// Sends `batches` of random pages, every fourth page zero; returns the sum that the other side should compute.
uint64_t send_round(wire::SourceLink& link, unsigned batches, uint32_t round, unsigned seed) {
  std::mt19937_64 random(seed);
  uint64_t sum = 0;
  for (unsigned b = 0; b < batches; ++b) {
    wire::PageBuffer buffer = link.acquire();
    std::vector<PageRange> ranges;
    uint64_t addr = 0x10000000 + uint64_t{b} * 0x1000000;
    std::size_t at = 0;
    while (at < wire::kBatchPages) {
      const uint64_t pages = std::min<uint64_t>(1 + random() % 40, wire::kBatchPages - at);
      ranges.push_back({addr, addr + pages * kPageSize});
      for (uint64_t p = 0; p < pages; ++p, ++at, addr += kPageSize) {
        std::byte* page = buffer.data() + at * kPageSize;
        std::memset(page, 0, kPageSize);
        if (at % 4 == 3) {
          sum += addr / kPageSize;
          continue;
        }
        for (std::size_t i = 0; i < kPageSize; i += 512) {
          const uint64_t value = random() | 1;
          std::memcpy(page + i, &value, sizeof value);
        }
        sum += page_sum(addr, page);
      }
      addr += kPageSize;
    }
    link.send_pages({PageSpace::Kind::mm, 42}, std::move(ranges), std::move(buffer));
  }
  link.end_round(round);
  return sum;
}

}  // namespace

TEST_CASE("a session from Hello to Resumed, with pages over several streams") {
  for (const char* compress : {"none", "zstd", "auto"}) {
    for (const unsigned streams : {1U, 4U}) {
      CAPTURE(compress);
      CAPTURE(streams);
      TestAgent agent;
      auto options = agent.to();
      options.streams = streams;
      options.compress = compress;
      auto link = greeted_session(options);
      preflight(*link, "ok");
      CHECK(receive(*link).has_preflight_result());
      uint64_t sum = 0;
      for (uint32_t round = 1; round <= 3; ++round) {
        sum += send_round(*link, 20, round, round);
        const SessionMessage done = receive(*link);
        REQUIRE(done.has_round_done());
        CHECK(done.round_done().round() == round);
        CHECK(done.round_done().pages_applied() == round * 20 * wire::kBatchPages);
        CHECK(done.round_done().apply_us() == sum);
      }
      commit(*link);
      const auto statistics = link->statistics();
      CHECK(statistics.pages_zero == 3 * 20 * wire::kBatchPages / 4);
      CHECK(statistics.bytes_raw == 3 * 20 * wire::kBatchBytes);
      CHECK(statistics.rtt_us > 0);
      if (std::string(compress) == "zstd") CHECK(statistics.bytes_wire < statistics.bytes_raw / 4);
      const auto state = wire::query_session(options, Deadline::in_ms(kSessionMs));
      CHECK(state.state() == "RESUMED");
    }
  }
}

TEST_CASE("large messages arrive whole, in both directions") {
  TestAgent agent;
  auto link = greeted_session(agent.to());
  img::ghost_file_entry ghost;
  ghost.set_uid(1);
  ghost.set_gid(2);
  ghost.set_mode(0100644);
  std::string content(9'000'001, 'x');
  content[4'444'444] = 'y';
  ImageStore store;
  store.append("ghost-file-1.img", ghost);
  store.append_raw("ghost-file-1.img", std::as_bytes(std::span(content)));
  SessionMessage images;
  auto* file = images.mutable_images()->add_files();
  file->set_name("ghost-file-1.img");
  file->set_content(std::string(store.load("ghost-file-1.img")));
  link->send(images);
  const SessionMessage back = receive(*link);
  REQUIRE(back.has_images());
  CHECK(back.images().files(0).content() == file->content());
}

TEST_CASE("an Error of the engine is thrown at the source, with its parts") {
  TestAgent agent;
  auto link = greeted_session(agent.to());
  preflight(*link, "fail");
  try {
    link->receive(Deadline::in_ms(kSessionMs));
    FAIL("no error");
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::refused);
    CHECK(error.reason() == "/lib/x.so has another build id");
    CHECK(error.hint() == "install the same");
    CHECK(error.step().find("127.0.0.1:") != std::string::npos);
  }
}

TEST_CASE("an engine that dies is reported with its end, and the next session works") {
  TestAgent agent;
  auto link = greeted_session(agent.to());
  preflight(*link, "crash");
  try {
    link->receive(Deadline::in_ms(kSessionMs));
    FAIL("no error");
  } catch (const Error& error) {
    CHECK(std::string(error.what()).find("signal 6") != std::string::npos);
  }
  auto next = greeted_session(agent.to());
  commit(*next);
}

TEST_CASE("--wait: the root's exit reaches the source after the engine has ended") {
  TestAgent agent;
  auto link = greeted_session(agent.to(), true);
  commit(*link);
  const SessionMessage exited = receive(*link);
  REQUIRE(exited.has_exited());
  CHECK(WEXITSTATUS(exited.exited().wait_status()) == 7);
}

TEST_CASE("--once: the agent exits with the outcome of its session") {
  AgentOptions options;
  options.once = true;
  SUBCASE("committed") {
    TestAgent agent(options);
    auto link = greeted_session(agent.to());
    commit(*link);
    link.reset();
    CHECK(agent.wait() == 0);
  }
  SUBCASE("aborted") {
    TestAgent agent(options);
    auto link = greeted_session(agent.to());
    SessionMessage abort;
    abort.mutable_abort()->set_reason("changed my mind");
    link->send(abort);
    link.reset();
    CHECK(agent.wait() == 5);
  }
}
