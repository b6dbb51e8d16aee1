// Limits the transfer rate (--max-bandwidth).
#pragma once

#include <algorithm>
#include <cstdint>
#include <mutex>

#include "common/base/clock.hpp"

namespace crx::wire {

// Thread-safe. A rate of 0 means no limit.
class Pacer {
 public:
  explicit Pacer(uint64_t bytes_per_second) : rate_(bytes_per_second) {}
  bool limits() const { return rate_ != 0; }

  // Reserves the time that `bytes` take; returns how many nanoseconds to wait before sending them.
  int64_t reserve(uint64_t bytes) {
    if (rate_ == 0) return 0;
    const std::lock_guard lock(mutex_);
    const int64_t now_ns = monotonic_ns();
    next_ns_ = std::max(next_ns_, now_ns);
    const int64_t pause_ns = next_ns_ - now_ns;
    next_ns_ += static_cast<int64_t>(static_cast<double>(bytes) * 1e9 / static_cast<double>(rate_));
    return pause_ns;
  }

 private:
  const uint64_t rate_;
  std::mutex mutex_;
  int64_t next_ns_ = 0;
};

}  // namespace crx::wire
