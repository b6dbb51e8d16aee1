// The part of SourceConnection that runs on the threads of its connections.
#include <asio/co_spawn.hpp>
#include <asio/post.hpp>
#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>

#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "wire/connection/congestion.hpp"
#include "wire/failure.hpp"
#include "wire/limits.hpp"
#include "wire/source/dial.hpp"
#include "wire/source/source_connection.hpp"

namespace crx::wire {
namespace {

constexpr int64_t kGoodbyeMs = 2000;
constexpr int64_t kReasonMs = 1000;

// The error of a coroutine that ended with an exception; nullopt when it ended normally.
std::optional<Error> as_error(const std::exception_ptr& thrown) {
  if (!thrown) return std::nullopt;
  try {
    std::rethrow_exception(thrown);
  } catch (const Error& error) {
    return error;
  } catch (const std::exception& error) {
    return Error(ErrorCode::bug, "talking to the destination", error.what());
  }
}

}  // namespace

void SourceConnection::open() {
  std::promise<void> opened;
  asio::co_spawn(control_strand_, open_control(&opened), [](std::exception_ptr) {});
  opened.get_future().get();
  run_control();
}

asio::awaitable<void> SourceConnection::open_control(std::promise<void>* opened) {
  try {
    const Deadline deadline = Deadline::in_ms(options_.connect_timeout_ms);
    auto channel = co_await dial(options_.to, tls_, deadline);
    channel->set_hard_deadline(deadline);
    const int64_t rtt_us = co_await measure_rtt(channel);
    channel->set_hard_deadline(Deadline::never());
    control_ = std::make_shared<ControlStream>(channel, options_.silence_timeout_ms);
    control_->set_rtt_us(rtt_us);
    opened->set_value();
  } catch (const std::exception&) {  // handed on to open()
    opened->set_exception(std::current_exception());
  }
}

void SourceConnection::run_control() {
  asio::co_spawn(control_strand_, control_->reader([this](SessionMessage message) { on_message(std::move(message)); }),
                 [this](std::exception_ptr thrown) { ended(thrown); });
  asio::co_spawn(control_strand_, control_writer(), [this](std::exception_ptr thrown) {
    ended(thrown);
    flushed_.set_value();
  });
}

asio::awaitable<void> SourceConnection::control_writer() {
  co_await control_->writer();
  control_->channel()->set_hard_deadline(Deadline::in_ms(kGoodbyeMs));
  co_await control_->channel()->shutdown();
}

void SourceConnection::on_message(SessionMessage message) {
  if (message.has_failure()) {
    fail(to_error(message.failure(), options_.to.text()));
    return;
  }
  if (message.has_welcome()) start_streams();
  queues_.deliver(std::move(message));
}

void SourceConnection::start_streams() {
  const DataKey key = control_->channel()->data_key();
  for (unsigned i = 0; i < stream_count_; ++i) {
    asio::co_spawn(streams_[i]->strand, run_stream(i, key),
                   [this](std::exception_ptr thrown) { stream_ended(thrown); });
  }
}

// Chooses by the measurements of the control connection, which uses the same path.
std::string SourceConnection::data_congestion_control() {
  const NetworkState path = control_->channel()->network();
  const std::string_view name = better_congestion_control(path.congestion_control, path.min_rtt_us);
  if (!name.empty()) {
    log::debug("the data connections use the congestion control {} instead of {}: the round trip takes {} us", name,
               path.congestion_control, path.min_rtt_us);
  }
  return std::string(name);
}

asio::awaitable<void> SourceConnection::run_stream(unsigned index, DataKey key) {
  DataStream& stream = *streams_[index];
  const Deadline deadline = Deadline::in_ms(options_.connect_timeout_ms);
  auto channel = co_await dial(options_.to, tls_, deadline, data_congestion_control(), key);
  channel->set_hard_deadline(deadline);
  Join join;
  join.session = options_.session;
  join.stream = index + 1;
  co_await write_text(channel, frame_join(join));
  FrameHeader header{};
  const bool there = co_await read_frame_header(channel, header);
  if (!there || header.type != FrameType::joined) {
    throw Error(ErrorCode::peer, "joining a data connection", channel->peer() + " did not accept it");
  }
  co_await read_payload(channel, header.length);
  channel->set_hard_deadline(Deadline::never());
  {
    const std::lock_guard lock(channel_mutex_);
    stream.channel = channel;
  }
  asio::co_spawn(stream.strand, watch_stream(channel), [this](std::exception_ptr thrown) { stream_ended(thrown); });
  for (;;) {
    SourceQueues::Work work = queues_.take(stream.place);
    switch (work.kind) {
      case SourceQueues::Work::Kind::batch:
        co_await send_batch(stream, std::move(work.batch));
        break;
      case SourceQueues::Work::Kind::mark:
        co_await write_text(channel, frame_u32(FrameType::end_round, work.round));
        break;
      case SourceQueues::Work::Kind::nothing:
        co_await stream.wake.wait(Deadline::never());
        break;
      case SourceQueues::Work::Kind::stop:
        co_return;
    }
  }
}

// The peer sends nothing on a data connection, so anything that can be read means its end.
asio::awaitable<void> SourceConnection::watch_stream(std::shared_ptr<Channel> channel) {
  FrameHeader header{};
  const bool there = co_await read_frame_header(channel, header);
  throw Error(ErrorCode::peer, "sending pages",
              channel->peer() + (there ? " sent something on a data connection" : " closed a data connection"));
}

asio::awaitable<void> SourceConnection::send_batch(DataStream& stream, std::shared_ptr<OutgoingBatch> batch) {
  const int64_t pause_ns = pacer_.reserve(batch->head.size() + batch->content_bytes);
  if (pause_ns > 0) {
    asio::steady_timer timer(stream.strand, std::chrono::nanoseconds(pause_ns));
    asio::error_code ignored;
    co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  std::string head = frame_head(FrameType::pages, batch->head.size() + batch->content_bytes) + batch->head;
  const std::span<const std::byte> head_span = std::as_bytes(std::span<const char>(head.data(), head.size()));
  const std::span<const std::byte> body(batch->buffer.data(), batch->content_bytes);
  co_await stream.channel->write(head_span, body);
  bytes_sent_ += batch->page_bytes;
}

void SourceConnection::wake_streams() {
  for (const auto& stream : streams_) {
    asio::post(stream->strand, [one = stream.get()] { one->wake.notify(); });
  }
}

void SourceConnection::fail(const Error& error) {
  queues_.fail(error);
  control_->finish();  // the peer need not wait for us
  pool_.stop();
  wake_streams();
}

void SourceConnection::ended(const std::exception_ptr& thrown) {
  const std::optional<Error> error = as_error(thrown);
  if (!error) return;
  log::debug("the connection to {} ended: {}", options_.to.text(), error->what());
  fail(*error);
}

// A destination that aborts closes all connections. Its reason comes on the control connection, possibly a moment
// later.
void SourceConnection::stream_ended(const std::exception_ptr& thrown) {
  const std::optional<Error> error = as_error(thrown);
  if (!error) return;
  log::debug("the data connection to {} ended: {}", options_.to.text(), error->what());
  const auto timer = std::make_shared<asio::steady_timer>(io_, std::chrono::milliseconds(kReasonMs));
  timer->async_wait([this, timer, error](const asio::error_code&) { fail(*error); });
}

}  // namespace crx::wire
