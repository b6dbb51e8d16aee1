// The source's control connection: messages out and in, pings, and the shortest way for what the cutover
// sends. Includes Asio: for .cpp files of wire only.
#pragma once

#include <asio/awaitable.hpp>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "wire/connection/channel.hpp"
#include "wire/connection/event.hpp"
#include "wire/messages.pb.h"

namespace crx::wire {

class ControlStream : public std::enable_shared_from_this<ControlStream> {
 public:
  // on_message: on the channel's executor.
  ControlStream(std::shared_ptr<Channel> channel, int64_t silence_ms);

  // Any thread. Written from the calling thread where nothing is queued before it, else by writer().
  void send(std::string frame);
  // Any thread: writer() writes what is queued, closes the connection in order and ends.
  void finish();

  // Until finish() or the connection fails (throws).
  asio::awaitable<void> writer();
  // Hands each message to `deliver` until the peer closes (throws Error(peer), as for any failure).
  asio::awaitable<void> reader(std::function<void(SessionMessage)> deliver);

  const std::shared_ptr<Channel>& channel() const { return channel_; }
  int64_t rtt_us() const { return rtt_us_.load(std::memory_order_relaxed); }
  void set_rtt_us(int64_t us) { rtt_us_ = us; }

 private:
  void wake();
  // What is queued, marking the stream busy; empty when nothing is.
  std::string take_queued(bool& finished);
  void on_pong(std::string payload);

  std::shared_ptr<Channel> channel_;
  int64_t ping_ms_;
  std::mutex mutex_;
  std::string queued_;  // whole frames
  bool busy_ = false;   // writer() is writing
  bool finished_ = false;
  Event wake_;
  std::atomic<int64_t> rtt_us_ = 0;
};

}  // namespace crx::wire
