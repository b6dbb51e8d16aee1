// Lets a coroutine wait for a notification. Includes Asio: only .cpp files of wire and of agent-dst/front include this
// header.
#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>
#include <chrono>

#include "common/base/clock.hpp"

namespace crx::wire {

// Remembers one notification. All calls must be made on its executor (a strand or a single-threaded context).
class Event {
 public:
  explicit Event(asio::any_io_executor executor) : timer_(std::move(executor)) {}

  void notify() {
    set_ = true;
    timer_.cancel();
  }
  // Waits until notify() or the deadline; returns whether it was notified.
  asio::awaitable<bool> wait(Deadline deadline) {
    while (!set_ && !deadline.passed()) {
      const int64_t left_ns = deadline.left_ns();
      if (left_ns == INT64_MAX)
        timer_.expires_at(asio::steady_timer::time_point::max());
      else
        timer_.expires_after(std::chrono::nanoseconds(left_ns));
      asio::error_code ignored;
      co_await timer_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    }
    const bool was_set = set_;
    set_ = false;
    co_return was_set;
  }

 private:
  asio::steady_timer timer_;
  bool set_ = false;
};

}  // namespace crx::wire
