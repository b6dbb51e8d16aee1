// How far the sending of a round has come, for whoever watches the migration.
#pragma once

#include <cstdint>
#include <deque>

#include "agent-src/report/events.hpp"
#include "wire/link.hpp"

namespace crx {

// Single-threaded: the engine calls look() wherever it waits or has sent something. Pages count as done when they have
// been written to the connections, so that what only waits in buffers does not.
class RoundProgress {
 public:
  // Both must outlive it. planned_bytes: what the round's scan found.
  RoundProgress(MigrationObserver& observer, const wire::SourceLink& link, uint32_t round, uint64_t planned_bytes);

  // Pages of the plan that are not sent: the destination has them, or they cannot be read now.
  void skip(uint64_t pages) noexcept { skipped_bytes_ += pages * kPageSize; }
  // Sends an event to the observer when 100 ms have passed since the last one, or since the round began.
  void look();

  // How long a wait of the engine may be before look() is due again.
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
  uint64_t sent_before_;        // by earlier rounds
  std::deque<Sample> samples_;  // of the last few seconds, the oldest first: the rate is taken over them
};

}  // namespace crx
