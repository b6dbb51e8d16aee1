#include "wire/connection/control_stream.hpp"

#include <asio/post.hpp>

#include "common/base/error.hpp"
#include "wire/limits.hpp"

namespace crx::wire {

ControlStream::ControlStream(std::shared_ptr<Channel> channel, int64_t silence_ms)
    : channel_(std::move(channel)), ping_ms_(silence_ms / 3), wake_(channel_->executor()) {
  channel_->set_stall_ms(silence_ms);
}

void ControlStream::wake() {
  asio::post(channel_->executor(), [self = shared_from_this()] { self->wake_.notify(); });
}

void ControlStream::send(std::string frame) {
  {
    const std::lock_guard lock(mutex_);
    if (!busy_ && queued_.empty() && !finished_ && channel_->try_write(frame)) {
      if (!channel_->unsent()) return;
    } else {
      queued_ += frame;
    }
  }
  wake();
}

void ControlStream::finish() {
  {
    const std::lock_guard lock(mutex_);
    finished_ = true;
  }
  wake();
}

std::string ControlStream::take_queued(bool& finished) {
  const std::lock_guard lock(mutex_);
  finished = finished_;
  busy_ = !queued_.empty();
  return std::exchange(queued_, {});
}

asio::awaitable<void> ControlStream::writer() {
  for (;;) {
    bool finished = false;
    std::string text = take_queued(finished);
    const bool idle = text.empty();
    co_await write_text(channel_, std::move(text));  // also writes what try_write() has left in the channel
    if (!idle) continue;
    if (finished) break;
    const bool woken = co_await wake_.wait(Deadline::in_ms(ping_ms_));
    if (!woken) send(frame_u64(FrameType::ping, static_cast<uint64_t>(monotonic_us())));
  }
}

void ControlStream::on_pong(std::string payload) {
  const auto sent_us = static_cast<int64_t>(get_u64(reinterpret_cast<const std::byte*>(payload.data())));
  const int64_t rtt_us = monotonic_us() - sent_us;
  if (rtt_us > 0 && rtt_us < rtt_us_) rtt_us_ = rtt_us;
}

asio::awaitable<void> ControlStream::reader(std::function<void(SessionMessage)> deliver) {
  for (;;) {
    FrameHeader header{};
    const bool there = co_await read_frame_header(channel_, header);
    if (!there) throw Error(ErrorCode::peer, "receiving", channel_->peer() + " closed the session");
    std::string payload = co_await read_payload(channel_, header.length);
    if (header.type == FrameType::ping) {
      send(frame(FrameType::pong, payload));
    } else if (header.type == FrameType::pong) {
      on_pong(std::move(payload));
    } else if (header.type == FrameType::message) {
      SessionMessage message;
      if (!message.ParseFromString(payload)) {
        throw Error(ErrorCode::peer, "receiving", channel_->peer() + " sent a message that is none");
      }
      check_limits(message);
      deliver(std::move(message));
    } else {
      throw Error(ErrorCode::peer, "receiving", channel_->peer() + " sent a frame that a destination never sends");
    }
  }
}

}  // namespace crx::wire
