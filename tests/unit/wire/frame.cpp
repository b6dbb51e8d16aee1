#include "wire/frame.hpp"

#include <doctest/doctest.h>

#include "common/base/error.hpp"
#include "wire/failure.hpp"
#include "wire/limits.hpp"
#include "wire/source/compression_advisor.hpp"
#include "wire/source/source_queues.hpp"

using namespace crx;
using namespace crx::wire;

namespace {

FrameHeader parse(const std::string& text) {
  return parse_frame_header(std::as_bytes(std::span<const char, kFrameHeaderBytes>(text.data(), kFrameHeaderBytes)));
}

}  // namespace

TEST_CASE("a frame is its header and its payload, little-endian") {
  const std::string text = frame(FrameType::message, "abc");
  CHECK(text == std::string("\1\0\0\0\3\0\0\0abc", 11));
  CHECK(parse(text).type == FrameType::message);
  CHECK(parse(text).length == 3);
  CHECK(frame_u32(FrameType::end_round, 0x01020304).substr(8) == "\4\3\2\1");
}

TEST_CASE("a frame header outside of the limits is refused") {
  const auto with = [](std::size_t at, char value) {
    std::string text = frame_u64(FrameType::ping, 1);
    text[at] = value;
    return text;
  };
  CHECK_THROWS_AS(parse(with(0, 0)), Error);
  CHECK_THROWS_AS(parse(with(0, 99)), Error);
  CHECK_THROWS_AS(parse(with(1, 1)), Error);
  CHECK_THROWS_AS(parse(with(3, 1)), Error);
  CHECK_THROWS_AS(parse(with(4, 9)), Error);
  CHECK_THROWS_AS(parse(frame_head(FrameType::message, 0)), Error);
  CHECK_THROWS_AS(parse(frame_head(FrameType::message, kMaxMessageBytes + 1)), Error);
}

TEST_CASE("Join") {
  Join join;
  join.session = std::string(32, 'a');
  join.stream = 3;
  const Join back = parse_join(frame_join(join).substr(kFrameHeaderBytes));
  CHECK(back.session == join.session);
  CHECK(back.stream == 3);
  join.session[5] = '/';
  CHECK_THROWS_AS(parse_join(frame_join(join).substr(kFrameHeaderBytes)), Error);
  join.session[5] = 'b';
  join.stream = 17;
  CHECK_THROWS_AS(parse_join(frame_join(join).substr(kFrameHeaderBytes)), Error);
}

TEST_CASE("an Error travels with all its parts") {
  const Error error = Error(ErrorCode::refused, "mapping", "libc.so", 2).with_pid(9).with_hint("install it");
  const Error back = to_error(to_failure(error), "b:7000");
  CHECK(back.code() == ErrorCode::refused);
  CHECK(back.step() == "mapping at b:7000");
  CHECK(back.err() == 2);
  CHECK(back.pid() == 9);
  CHECK(back.hint() == "install it");
}

TEST_CASE("messages beyond the limits are refused by field") {
  SessionMessage message;
  CHECK_THROWS_AS(check_limits(message), Error);
  auto* file = message.mutable_preflight()->add_files();
  file->set_path("/lib/x");
  CHECK_NOTHROW(check_limits(message));
  file->set_path(std::string(kMaxStringBytes + 1, 'x'));
  try {
    check_limits(message);
    FAIL("accepted");
  } catch (const Error& error) {
    CHECK(error.reason().find("FileIdentity.path") != std::string::npos);
  }
  CHECK(source_may_send(SessionMessage::kGo));
  CHECK_FALSE(source_may_send(SessionMessage::kResumed));
  CHECK(source_may_send(SessionMessage::kDecided));
}

TEST_CASE("every stream sends a round's mark after its batches and before later ones") {
  using Kind = SourceQueues::Work::Kind;
  SourceQueues queues;
  SourceQueues::StreamPlace a, b;
  const auto batch = [] {
    auto one = std::make_shared<OutgoingBatch>();
    one->ready = true;
    return one;
  };
  CHECK(queues.take(a).kind == Kind::nothing);
  queues.push_batch(batch());
  queues.end_round(1);
  auto late = std::make_shared<OutgoingBatch>();
  queues.push_batch(late);
  CHECK(queues.take(a).kind == Kind::batch);
  CHECK(queues.take(b).round == 1);
  CHECK(queues.take(b).kind == Kind::nothing);  // the next batch is not encoded yet
  const auto mark = queues.take(a);
  CHECK(mark.kind == Kind::mark);
  CHECK(mark.round == 1);
  queues.mark_ready(late);
  CHECK(queues.take(a).batch == late);
  queues.fail(Error(ErrorCode::peer, "x", "gone"));
  CHECK(queues.take(b).kind == Kind::stop);
  CHECK_THROWS_AS(queues.receive(Deadline::never()), Error);
}

TEST_CASE("messages that came before the loss are delivered before it is thrown") {
  SourceQueues queues;
  SessionMessage resumed;
  resumed.mutable_resumed();
  queues.deliver(resumed);
  queues.fail(Error(ErrorCode::peer, "receiving", "cut"));
  CHECK(queues.receive(Deadline::in_ms(0))->has_resumed());
  CHECK_THROWS_AS(queues.receive(Deadline::in_ms(0)), Error);
}

TEST_CASE("compression is turned on only if the network is the bottleneck") {
  const CompressionYield good{1 << 20, 300 << 10, 2'600'000};  // 0.4 GB/s to 30 %
  TransferWindow window;
  window.us = 100'000;
  window.source_waited = true;
  window.bytes_wire = 11'000'000;  // 110 MB/s
  window.network_bytes_per_second = 120'000'000;
  CompressionAdvisor advisor(1);
  SUBCASE("a slow link") {
    window.network_us = 95'000;
    CHECK(advisor.wants_sample(window));
    advisor.decide(window, good);
    CHECK(advisor.on());
    SUBCASE("until the pages no longer shrink") {
      advisor.decide(window, {1 << 20, 1 << 20, 2'600'000});
      CHECK_FALSE(advisor.on());
    }
  }
  SUBCASE("a receiver that is slow is no reason") {
    window.network_us = 5'000;
    CHECK_FALSE(advisor.wants_sample(window));
    advisor.decide(window, good);
    CHECK_FALSE(advisor.on());
  }
  SUBCASE("nor is a network that could carry much more") {
    window.network_us = 95'000;
    window.network_bytes_per_second = 1'000'000'000;
    CHECK_FALSE(advisor.wants_sample(window));
  }
  SUBCASE("nor is a link that is faster than the compressor") {
    window.network_us = 95'000;
    window.bytes_wire = 90'000'000;
    window.network_bytes_per_second = 950'000'000;
    advisor.decide(window, good);
    CHECK_FALSE(advisor.on());
  }
  SUBCASE("a limit on bandwidth is one") {
    window.paced = true;
    advisor.decide(window, good);
    CHECK(advisor.on());
  }
}
