// The source's control connection: outgoing and incoming messages, pings, and a fast path for the messages of the
// cutover. Includes Asio: only .cpp files of wire include this header.
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
  // silence_ms: a peer that sends nothing for this long is lost; pings are sent well before.
  ControlStream(std::shared_ptr<Channel> channel, int64_t silence_ms);

  // Any thread. Writes from the calling thread if nothing is queued before the frame, otherwise queues it for writer().
  void send(std::string frame);
  // Any thread: writer() writes the queued frames, closes the connection properly and ends.
  void finish();

  // Runs until finish(), or throws when the connection fails.
  asio::awaitable<void> writer();
  // Passes each message to `deliver`, until the peer closes or the connection fails; both throw Error(peer).
  asio::awaitable<void> reader(std::function<void(SessionMessage)> deliver);

  const std::shared_ptr<Channel>& channel() const { return channel_; }
  int64_t rtt_us() const { return rtt_us_.load(std::memory_order_relaxed); }
  void set_rtt_us(int64_t us) { rtt_us_ = us; }

 private:
  void wake();
  // Takes the queued frames and marks the stream as busy; empty if there are none.
  std::string take_queued(bool& finished);
  void on_pong(std::string payload);

  std::shared_ptr<Channel> channel_;
  int64_t ping_ms_;
  std::mutex mutex_;
  std::string queued_;  // complete frames
  bool busy_ = false;   // writer() is writing
  bool finished_ = false;
  Event wake_;
  std::atomic<int64_t> rtt_us_ = 0;
};

}  // namespace crx::wire
