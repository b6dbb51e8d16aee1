// Reports how far the sending of a round has come to the observer of the migration.
#pragma once

#include <cstdint>
#include <deque>

#include "agent-src/report/events.hpp"
#include "wire/link.hpp"

namespace crx {

// Single-threaded: the migration calls look() while it waits and after it has sent something. A page counts as done
// when it has been written to the connections, so pages that are still in buffers do not count.
class RoundProgress {
 public:
  // observer and link must outlive the object. planned_bytes: the amount that the round's scan found.
  RoundProgress(MigrationObserver& observer, const wire::SourceLink& link, uint32_t round, uint64_t planned_bytes);

  // Counts planned pages that are not sent: the destination has them, or they cannot be read now.
  void skip(uint64_t pages) noexcept { skipped_bytes_ += pages * kPageSize; }
  // Sends an event to the observer if 100 ms have passed since the last one, or since the round began.
  void look();

  // The longest that the migration may wait before it must call look() again, in milliseconds.
  static constexpr int64_t kEveryMs = 100;

 private:
  struct Sample {
    int64_t us = 0;
    uint64_t bytes_done = 0;
  };

  MigrationObserver& observer_;
  const wire::SourceLink& link_;
  uint32_t round_;
  uint64_t planned_bytes_, skipped_bytes_ = 0;
  uint64_t sent_before_;        // bytes that earlier rounds have sent
  std::deque<Sample> samples_;  // the last few seconds, oldest first; the rate is computed over them
};

}  // namespace crx
