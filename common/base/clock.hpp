// Time in crx: microseconds or nanoseconds of CLOCK_MONOTONIC, in the time namespace of the crx process itself.
#pragma once

#include <time.h>

#include <cstdint>
#include <optional>

namespace crx {

// clock_gettime(2) in nanoseconds; 0 for a clock that does not exist.
inline int64_t clock_ns(clockid_t id) {
  timespec ts{};
  ::clock_gettime(id, &ts);
  return int64_t{ts.tv_sec} * 1'000'000'000 + ts.tv_nsec;
}
inline int64_t monotonic_ns() {
  return clock_ns(CLOCK_MONOTONIC);
}
inline int64_t monotonic_us() {
  return monotonic_ns() / 1000;
}

// A point in time by which something must be done; never() is a deadline that does not pass.
class Deadline {
 public:
  static Deadline in_ms(int64_t ms) { return Deadline(monotonic_ns() + ms * 1'000'000); }
  static Deadline never() { return Deadline(INT64_MAX); }
  bool passed() const { return at_ns_ != INT64_MAX && monotonic_ns() >= at_ns_; }
  // The earlier of the two.
  static Deadline earlier(Deadline one, Deadline other) { return one.at_ns_ < other.at_ns_ ? one : other; }
  // The remaining time as a poll(2) timeout in milliseconds, rounded up: -1 for never(), else between 0 and one day.
  int poll_ms() const {
    if (at_ns_ == INT64_MAX) return -1;
    const int64_t left = at_ns_ - monotonic_ns();
    if (left <= 0) return 0;
    const int64_t ms = (left + 999'999) / 1'000'000;
    return ms > 86'400'000 ? 86'400'000 : static_cast<int>(ms);
  }
  // The remaining time in nanoseconds, negative once the deadline has passed; INT64_MAX for never().
  int64_t left_ns() const { return at_ns_ == INT64_MAX ? INT64_MAX : at_ns_ - monotonic_ns(); }

 private:
  explicit Deadline(int64_t at_ns) : at_ns_(at_ns) {}
  int64_t at_ns_;
};

}  // namespace crx
