#include <fmt/format.h>

#include <algorithm>
#include <asio/bind_executor.hpp>
#include <asio/co_spawn.hpp>
#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <asio/strand.hpp>
#include <future>
#include <thread>

#include "common/base/error.hpp"
#include "common/base/journal.hpp"
#include "common/base/log.hpp"
#include "wire/buffer_pool.hpp"
#include "wire/compression_advisor.hpp"
#include "wire/connect.hpp"
#include "wire/control_stream.hpp"
#include "wire/dial.hpp"
#include "wire/encoder.hpp"
#include "wire/failure.hpp"
#include "wire/limits.hpp"
#include "wire/pacer.hpp"
#include "wire/page_codec.hpp"
#include "wire/source_queues.hpp"

namespace crx::wire {
namespace {

constexpr int64_t kFlushMs = 2000;
constexpr std::size_t kWorthCompressing =
    16 * kPageSize;  // less is sent as it is: the last round is about latency
constexpr std::size_t kSampleBytes = 256 << 10;
constexpr int64_t kLookEveryUs = 100'000;

unsigned default_streams() {
  // One core of the machine seals, one reads the process: more streams only help where there are more cores.
  const unsigned cores = std::max(1U, std::thread::hardware_concurrency());
  return std::clamp(cores / 2, 1U, 4U);
}

// The error of a coroutine that ended with an exception; nothing when it ended well.
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

class SourceConnection final : public SourceLink {
 public:
  explicit SourceConnection(const ConnectOptions& options);
  ~SourceConnection() override;

  void send(const SessionMessage& message) override;
  PageBuffer acquire() override;
  void send_pages(PageSpace space, std::vector<PageRange> ranges, PageBuffer buffer) override;
  void end_round(uint32_t round) override;
  std::optional<SessionMessage> receive(Deadline deadline) override { return queues_.receive(deadline); }
  LinkStatistics statistics() const override;

 private:
  struct DataStream {
    explicit DataStream(asio::strand<asio::io_context::executor_type> on) : strand(on), wake(on) {}
    asio::strand<asio::io_context::executor_type> strand;
    Event wake;
    std::shared_ptr<Channel> channel;  // set once; read under channel_mutex_ from elsewhere
    SourceQueues::StreamPlace place;
  };

  void open();
  asio::awaitable<void> open_control(std::promise<void>* opened);
  void run_control();
  asio::awaitable<void> control_writer();
  void on_message(SessionMessage message);
  void start_streams();
  asio::awaitable<void> run_stream(unsigned index);
  asio::awaitable<void> watch_stream(std::shared_ptr<Channel> channel);
  asio::awaitable<void> send_batch(DataStream& stream, std::shared_ptr<OutgoingBatch> batch);
  void wake_streams();
  bool compresses(std::span<const std::byte> content);
  TransferWindow look();
  void fail(const Error& error);
  void ended(const std::exception_ptr& thrown);

  const ConnectOptions options_;
  const unsigned stream_count_;
  const Compression compression_;
  std::shared_ptr<const TlsContext> tls_;
  SourceQueues queues_;
  BufferPool pool_;
  Pacer pacer_;
  uint32_t messages_sent_ = 0;                 // engine thread
  LinkStatistics counted_;                     // engine thread: pages
  std::optional<CompressionAdvisor> advisor_;  // engine thread; --compress auto
  Compressor sampler_;
  std::vector<std::byte> sample_;
  struct {
    int64_t us = 0, network_us = 0;
    uint64_t bytes_wire = 0, waits = 0;
    Encoder::Statistics encoded;
  } last_look_;
  std::promise<void> flushed_;
  mutable std::mutex channel_mutex_;

  // Coroutines left over are destroyed with the context and give their buffers back then; timers and sockets
  // go before it. Hence this order.
  asio::io_context io_;
  asio::executor_work_guard<asio::io_context::executor_type> work_{io_.get_executor()};
  asio::strand<asio::io_context::executor_type> control_strand_{io_.get_executor()};
  std::shared_ptr<ControlStream> control_;
  std::vector<std::unique_ptr<DataStream>> streams_;
  std::vector<std::thread> threads_;
  std::unique_ptr<Encoder> encoder_;  // its threads wake the streams: gone before them
};

SourceConnection::SourceConnection(const ConnectOptions& options)
    : options_(options),
      stream_count_(std::min(options.streams == 0 ? default_streams() : options.streams, kMaxStreams)),
      compression_(parse_compression(options.compress)),
      tls_(std::make_shared<TlsContext>(TlsRole::client, tls_dir_or_default(options.tls_dir))),
      pool_(std::max(options.buffers, 2U)),
      pacer_(options.max_bandwidth) {
  if (!is_session_id(options_.session)) throw Error(ErrorCode::bug, "connecting", "no session id was given");
  for (unsigned i = 0; i < stream_count_; ++i) {
    streams_.push_back(std::make_unique<DataStream>(asio::make_strand(io_)));
  }
  if (compression_.mode != Compression::Mode::none) {
    encoder_ = std::make_unique<Encoder>(std::clamp(std::thread::hardware_concurrency(), 2U, 9U) - 1,
                                         [this](const std::shared_ptr<OutgoingBatch>& batch) {
                                           queues_.mark_ready(batch);
                                           wake_streams();
                                         });
  }
  if (compression_.mode == Compression::Mode::automatic) advisor_.emplace(encoder_->threads());
  last_look_.us = monotonic_us();
  const unsigned threads = std::min(stream_count_ + 1, std::max(2U, std::thread::hardware_concurrency()));
  for (unsigned i = 0; i < threads; ++i) threads_.emplace_back([this] { io_.run(); });
  try {
    open();
  } catch (...) {
    io_.stop();
    for (std::thread& thread : threads_) thread.join();
    throw;
  }
}

SourceConnection::~SourceConnection() {
  pool_.stop();
  queues_.close();
  control_->finish();
  wake_streams();
  flushed_.get_future().wait_for(std::chrono::milliseconds(kFlushMs));
  encoder_.reset();
  io_.stop();
  for (std::thread& thread : threads_) thread.join();
}

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
  } catch (...) {
    opened->set_exception(std::current_exception());
  }
}

void SourceConnection::run_control() {
  asio::co_spawn(control_strand_,
                 control_->reader([this](SessionMessage message) { on_message(std::move(message)); }),
                 [this](std::exception_ptr thrown) { ended(thrown); });
  asio::co_spawn(control_strand_, control_writer(), [this](std::exception_ptr thrown) {
    ended(thrown);
    flushed_.set_value();
  });
}

asio::awaitable<void> SourceConnection::control_writer() {
  co_await control_->writer();
  control_->channel()->set_hard_deadline(Deadline::in_ms(kFlushMs));
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
  for (unsigned i = 0; i < stream_count_; ++i) {
    asio::co_spawn(streams_[i]->strand, run_stream(i), [this](std::exception_ptr thrown) { ended(thrown); });
  }
}

asio::awaitable<void> SourceConnection::run_stream(unsigned index) {
  DataStream& stream = *streams_[index];
  const Deadline deadline = Deadline::in_ms(options_.connect_timeout_ms);
  auto channel = co_await dial(options_.to, tls_, deadline);
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
  asio::co_spawn(stream.strand, watch_stream(channel), [this](std::exception_ptr thrown) { ended(thrown); });
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

// Nothing comes back on a data connection, so whatever can be read is its end.
asio::awaitable<void> SourceConnection::watch_stream(std::shared_ptr<Channel> channel) {
  FrameHeader header{};
  const bool there = co_await read_frame_header(channel, header);
  throw Error(
      ErrorCode::peer, "sending pages",
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
  log::debug("connection to {}: {}", options_.to.text(), error->what());
  fail(*error);
}

void SourceConnection::send(const SessionMessage& message) {
  queues_.throw_if_lost();
  std::string payload;
  if (message.has_hello()) {
    SessionMessage greeting = message;
    greeting.mutable_hello()->set_session(options_.session);
    greeting.mutable_hello()->set_streams(stream_count_);
    greeting.mutable_hello()->set_protocol(kProtocolVersion);
    payload = greeting.SerializeAsString();
  } else {
    payload = message.SerializeAsString();
  }
  if (payload.size() > kMaxMessageBytes) {
    throw Error(ErrorCode::unsupported, "sending a message",
                fmt::format("{} would be {} bytes; the limit is {}", kind_name(message.body_case()),
                            payload.size(), kMaxMessageBytes));
  }
  ++messages_sent_;
  control_->send(frame(FrameType::message, payload));
}

PageBuffer SourceConnection::acquire() {
  PageBuffer buffer = pool_.acquire();
  if (buffer.data() == nullptr) {
    queues_.throw_if_lost();
    throw Error(ErrorCode::bug, "sending pages", "the link is closed");
  }
  return buffer;
}

void SourceConnection::send_pages(PageSpace space, std::vector<PageRange> ranges, PageBuffer buffer) {
  queues_.throw_if_lost();
  PageBatch pages;
  pages.space = space;
  pages.ranges = std::move(ranges);
  pages.after_messages = messages_sent_;
  const uint64_t total = total_pages(pages.ranges);
  if (total == 0) return;
  if (total > kBatchPages)
    throw Error(ErrorCode::bug, "sending pages", fmt::format("{} pages in a batch", total));
  take_out_zero_pages(std::span<std::byte>(buffer.data(), total * kPageSize), pages);
  const uint64_t content = total_pages(pages.ranges);
  pages.encoded_bytes = static_cast<uint32_t>(content * kPageSize);
  counted_.pages_raw += content;  // less what the encoder makes smaller
  counted_.pages_zero += total - content;
  counted_.bytes_raw += total * kPageSize;

  auto batch = std::make_shared<OutgoingBatch>();
  batch->head = encode_head(pages);
  batch->content_bytes = pages.encoded_bytes;
  batch->buffer = std::move(buffer);
  const bool compress = compresses({batch->buffer.data(), batch->content_bytes});
  batch->ready = !compress;
  queues_.push_batch(batch);
  if (compress)
    encoder_->submit(std::move(batch), std::move(pages), compression_.level);
  else
    wake_streams();
}

// What happened on the connections since it was called last.
TransferWindow SourceConnection::look() {
  TransferWindow window;
  const int64_t now_us = monotonic_us();
  int64_t network_us = 0;
  {
    const std::lock_guard lock(channel_mutex_);
    for (const auto& stream : streams_) {
      if (!stream->channel) continue;
      const NetworkState state = stream->channel->network();
      network_us += state.limited_us;
      window.network_bytes_per_second += state.bytes_per_second;
    }
  }
  const uint64_t bytes_wire = statistics().bytes_wire;
  const uint64_t waits = pool_.waits();
  window.us = now_us - last_look_.us;
  window.network_us = (network_us - last_look_.network_us) / stream_count_;
  window.bytes_wire = bytes_wire - last_look_.bytes_wire;
  window.source_waited = waits != last_look_.waits;
  window.paced = pacer_.limits();
  last_look_.us = now_us;
  last_look_.network_us = network_us;
  last_look_.bytes_wire = bytes_wire;
  last_look_.waits = waits;
  return window;
}

bool SourceConnection::compresses(std::span<const std::byte> content) {
  if (!encoder_ || content.size() < kWorthCompressing) return false;
  if (!advisor_) return true;
  if (monotonic_us() - last_look_.us < kLookEveryUs) return advisor_->on();
  const TransferWindow window = look();
  CompressionYield yield;
  if (advisor_->on()) {
    const Encoder::Statistics now = encoder_->statistics();
    yield = {now.bytes_in - last_look_.encoded.bytes_in, now.bytes_out - last_look_.encoded.bytes_out,
             now.busy_ns - last_look_.encoded.busy_ns};
    last_look_.encoded = now;
  } else if (advisor_->wants_sample(window)) {
    sample_.resize(kBatchBytes);
    const auto some = content.first(std::min(content.size(), kSampleBytes));
    const int64_t start_ns = monotonic_ns();
    const std::size_t smaller = sampler_.compress(some, sample_, compression_.level);
    yield = {some.size(), smaller > 0 ? smaller : some.size(),
             static_cast<uint64_t>(monotonic_ns() - start_ns)};
    last_look_.encoded = encoder_->statistics();
  }
  advisor_->decide(window, yield);
  return advisor_->on();
}

void SourceConnection::end_round(uint32_t round) {
  queues_.throw_if_lost();
  queues_.end_round(round);
  control_->send(frame_u32(FrameType::end_round, round));
  wake_streams();
}

LinkStatistics SourceConnection::statistics() const {
  LinkStatistics now = counted_;
  if (encoder_) {
    now.pages_compressed = encoder_->statistics().pages;
    now.pages_raw -= now.pages_compressed;
  }
  now.rtt_us = control_->rtt_us();
  now.bytes_wire = control_->channel()->bytes_written();
  const std::lock_guard lock(channel_mutex_);
  for (const auto& stream : streams_) {
    if (stream->channel) now.bytes_wire += stream->channel->bytes_written();
  }
  return now;
}

}  // namespace

std::unique_ptr<SourceLink> connect_source(const ConnectOptions& options) {
  return std::make_unique<SourceConnection>(options);
}

}  // namespace crx::wire
