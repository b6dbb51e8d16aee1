// The implementation of the source's link: the engine's calls on one side (source_link.cpp), coroutines on threads of
// its own on the other (source_streams.cpp). Includes Asio: only .cpp files of wire include this header.
#pragma once

#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <asio/strand.hpp>
#include <atomic>
#include <exception>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "wire/buffer_pool.hpp"
#include "wire/connection/control_stream.hpp"
#include "wire/page_codec.hpp"
#include "wire/source/compression_advisor.hpp"
#include "wire/source/connect.hpp"
#include "wire/source/encoder.hpp"
#include "wire/source/pacer.hpp"
#include "wire/source/source_queues.hpp"

namespace crx::wire {

class SourceConnection final : public SourceLink {
 public:
  explicit SourceConnection(const ConnectOptions& options);
  ~SourceConnection() override;

  void send(const SessionMessage& message) override;
  PageBuffer acquire(Deadline deadline) override;
  void send_pages(PageSpace space, std::vector<PageRange> ranges, PageBuffer buffer) override;
  void end_round(uint32_t round) override;
  std::optional<SessionMessage> receive(Deadline deadline) override { return queues_.receive(deadline); }
  LinkStatistics statistics() const override;

 private:
  struct DataStream {
    explicit DataStream(asio::strand<asio::io_context::executor_type> on) : strand(on), wake(on) {}
    asio::strand<asio::io_context::executor_type> strand;
    Event wake;
    std::shared_ptr<Channel> channel;  // set once; other threads read it under channel_mutex_
    SourceQueues::StreamPlace place;
  };

  void open();
  asio::awaitable<void> open_control(std::promise<void>* opened);
  void run_control();
  asio::awaitable<void> control_writer();
  void on_message(SessionMessage message);
  void start_streams();
  std::string data_congestion_control();
  asio::awaitable<void> run_stream(unsigned index, DataKey key);
  asio::awaitable<void> watch_stream(std::shared_ptr<Channel> channel);
  asio::awaitable<void> send_batch(DataStream& stream, std::shared_ptr<OutgoingBatch> batch);
  void wake_streams();
  bool compresses(std::span<const std::byte> content);
  TransferWindow look();
  void fail(const Error& error);
  void ended(const std::exception_ptr& thrown);
  void stream_ended(const std::exception_ptr& thrown);

  const ConnectOptions options_;
  const unsigned stream_count_;
  const Compression compression_;
  std::shared_ptr<const TlsContext> tls_;
  SourceQueues queues_;
  BufferPool pool_;
  Pacer pacer_;
  uint32_t messages_sent_ = 0;                 // engine thread only
  LinkStatistics counted_;                     // engine thread only: counts of pages
  std::atomic<uint64_t> bytes_sent_ = 0;       // see LinkStatistics
  std::optional<CompressionAdvisor> advisor_;  // engine thread only; --compress auto
  Compressor sampler_;
  std::vector<std::byte> sample_;
  struct {
    int64_t us = 0, network_us = 0;
    uint64_t bytes_wire = 0, waits = 0;
    Encoder::Statistics encoded;
  } last_look_;
  std::promise<void> flushed_;
  mutable std::mutex channel_mutex_;

  // The order matters: coroutines that have not ended are destroyed with the context and then return their buffers;
  // timers and sockets are destroyed before the context.
  asio::io_context io_;
  asio::executor_work_guard<asio::io_context::executor_type> work_{io_.get_executor()};
  asio::strand<asio::io_context::executor_type> control_strand_{io_.get_executor()};
  std::shared_ptr<ControlStream> control_;
  std::vector<std::unique_ptr<DataStream>> streams_;
  std::vector<std::thread> threads_;
  std::unique_ptr<Encoder> encoder_;  // its threads wake the streams, so it is destroyed before them
};

}  // namespace crx::wire
