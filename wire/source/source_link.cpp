// The part of SourceConnection that the engine calls.
#include <fmt/format.h>

#include <algorithm>

#include "common/base/error.hpp"
#include "common/base/journal.hpp"
#include "common/base/scope_exit.hpp"
#include "wire/connection/tls_dir.hpp"
#include "wire/limits.hpp"
#include "wire/source/connect.hpp"
#include "wire/source/source_connection.hpp"

namespace crx::wire {
namespace {

constexpr int64_t kFlushMs = 2000;
// smaller batches are sent uncompressed, since latency counts in the last round
constexpr std::size_t kWorthCompressing = 16 * kPageSize;
constexpr std::size_t kSampleBytes = 256 << 10;
constexpr int64_t kLookEveryUs = 100'000;

unsigned cores() {
  return std::max(1U, std::thread::hardware_concurrency());
}

unsigned default_streams() {
  // One core encrypts and one reads the process, so more streams only help if there are more cores.
  return std::clamp(cores() / 2, 1U, 4U);
}

// Enough buffers for all threads that read, compress and encrypt; more would only displace each other from the caches.
unsigned default_buffers() {
  return std::clamp(4 * cores(), 8U, 32U);
}

}  // namespace

SourceConnection::SourceConnection(const ConnectOptions& options)
    : options_(options),
      stream_count_(std::min(options.streams == 0 ? default_streams() : options.streams, kMaxStreams)),
      compression_(parse_compression(options.compress)),
      tls_(std::make_shared<TlsContext>(TlsRole::client, tls_dir_or_default(options.tls_dir), options.tls_crl)),
      pool_(options.buffers == 0 ? default_buffers() : std::max(options.buffers, 2U)),
      pacer_(options.max_bandwidth) {
  if (!is_session_id(options_.session)) throw Error(ErrorCode::bug, "connecting", "no session id was given");
  for (unsigned i = 0; i < stream_count_; ++i) {
    streams_.push_back(std::make_unique<DataStream>(asio::make_strand(io_)));
  }
  if (compression_.mode != Compression::Mode::none) {
    encoder_ =
        std::make_unique<Encoder>(std::clamp(cores(), 2U, 9U) - 1, [this](const std::shared_ptr<OutgoingBatch>& batch) {
          queues_.mark_ready(batch);
          wake_streams();
        });
  }
  if (compression_.mode == Compression::Mode::automatic) advisor_.emplace(encoder_->threads());
  last_look_.us = monotonic_us();
  const unsigned threads = std::min(stream_count_ + 1, std::max(2U, cores()));
  for (unsigned i = 0; i < threads; ++i) threads_.emplace_back([this] { io_.run(); });
  ScopeExit stop([this] {
    io_.stop();
    for (std::thread& thread : threads_) thread.join();
  });
  open();
  stop.release();
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
                fmt::format("{} would be {} bytes; the limit is {}", kind_name(message.body_case()), payload.size(),
                            kMaxMessageBytes));
  }
  ++messages_sent_;
  control_->send(frame(FrameType::message, payload));
}

PageBuffer SourceConnection::acquire(Deadline deadline) {
  PageBuffer buffer = pool_.acquire(deadline);
  if (buffer.data() == nullptr) {
    queues_.throw_if_lost();
    if (deadline.passed()) return buffer;
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
  if (total > kBatchPages) throw Error(ErrorCode::bug, "sending pages", fmt::format("{} pages in a batch", total));
  take_out_zero_pages(std::span<std::byte>(buffer.data(), total * kPageSize), pages);
  const uint64_t content = total_pages(pages.ranges);
  pages.encoded_bytes = static_cast<uint32_t>(content * kPageSize);
  counted_.pages_raw += content;  // minus the pages that the encoder makes smaller
  counted_.pages_zero += total - content;
  counted_.bytes_raw += total * kPageSize;

  auto batch = std::make_shared<OutgoingBatch>();
  batch->head = encode_head(pages);
  batch->content_bytes = pages.encoded_bytes;
  batch->page_bytes = total * kPageSize;
  batch->buffer = std::move(buffer);
  const bool compress = compresses({batch->buffer.data(), batch->content_bytes});
  batch->ready = !compress;
  queues_.push_batch(batch);
  if (compress)
    encoder_->submit(std::move(batch), std::move(pages), compression_.level);
  else
    wake_streams();
}

// Measures the connections since the previous call.
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
    yield = {some.size(), smaller > 0 ? smaller : some.size(), static_cast<uint64_t>(monotonic_ns() - start_ns)};
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
  now.bytes_sent = bytes_sent_;
  now.rtt_us = control_->rtt_us();
  now.bytes_wire = control_->channel()->bytes_written();
  const std::lock_guard lock(channel_mutex_);
  for (const auto& stream : streams_) {
    if (stream->channel) now.bytes_wire += stream->channel->bytes_written();
  }
  return now;
}

std::unique_ptr<SourceLink> connect_source(const ConnectOptions& options) {
  return std::make_unique<SourceConnection>(options);
}

}  // namespace crx::wire
