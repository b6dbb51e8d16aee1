// The activity of crx-agent since its start, as counters in memory that the supervisor shares with its fronts.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>

#include "common/base/mapping.hpp"

namespace crx::ipc {

// The upper bounds of the buckets of the histograms, in microseconds; one bucket more is without a bound.
inline constexpr std::array<uint64_t, 13> kDowntimeBounds = {1'000,     2'500,     5'000,     10'000,  25'000,
                                                             50'000,    100'000,   250'000,   500'000, 1'000'000,
                                                             2'500'000, 5'000'000, 10'000'000};
inline constexpr std::array<uint64_t, 14> kDurationBounds = {
    100'000,    250'000,    500'000,     1'000'000,   2'500'000,   5'000'000,     10'000'000,
    30'000'000, 60'000'000, 120'000'000, 300'000'000, 600'000'000, 1'800'000'000, 3'600'000'000};

// How many durations lie in each bucket (each in one only).
template <std::size_t Bounds>
struct Histogram {
  std::array<std::atomic<uint64_t>, Bounds + 1> buckets;
  void add(const std::array<uint64_t, Bounds>& bounds, uint64_t us) {
    ++buckets.at(static_cast<std::size_t>(std::lower_bound(bounds.begin(), bounds.end(), us) - bounds.begin()));
  }
};

// Why a session was refused: by preflight, or before it got an engine.
enum class Refusal : uint32_t { preflight = 0, sessions, peer_sessions, stopping, session_id, engine };
inline constexpr std::array<const char*, 6> kRefusals = {"preflight", "sessions",   "peer_sessions",
                                                         "stopping",  "session_id", "engine"};

// No decision depends on them: the front can write all of them and is not trusted. The figures of sessions that are
// open are not among them (session_figures.hpp).
struct AgentCounters {
  using Count = std::atomic<uint64_t>;
  static_assert(Count::is_always_lock_free);

  // Written by the supervisor. Ended sessions, by their outcome:
  Count committed, checked, stored, refused, failed, in_doubt;
  Count open_sessions;  // sessions whose engine is running
  Count running_roots;  // trees that were moved here and whose root has not ended
  Count stored_sets;    // sets that are in the store now
  Count front_starts;
  Count started_s;  // CLOCK_REALTIME

  // Odd while the supervisor adds the figures of a session that has ended; each change of them has another number.
  Count changes;
  Count wire_bytes;                 // frame payloads, before TLS
  Count content_pages, zero_pages;  // received pages
  Count moved_processes;
  Count downtimes, downtime_us, last_downtime_us;
  Histogram<kDowntimeBounds.size()> downtime_buckets;

  // Sessions that moved a tree here, from Hello until their engine ended.
  Count duration_us;
  Histogram<kDurationBounds.size()> duration_buckets;
  std::array<Count, kRefusals.size()> refusals;

  // Figures of the supervisor: getrusage(2), proc_pid_stat(5), proc_pid_fd(5), getrlimit(2).
  Count cpu_us, resident_bytes, virtual_bytes, open_descriptors, max_descriptors;

  // For health_problems() (front/agent_health.hpp).
  Count beat_ms;  // CLOCK_MONOTONIC, at least every kBeatMs while the supervisor works
  Count signer_is_ready;
  Count is_stopping;
  Count store_is_writable;
  Count store_free_bytes, store_total_bytes;
  static constexpr int64_t kBeatMs = 3'000;

  Count connections;          // written by the front
  Count connections_refused;  // by both
};

// Anonymous shared memory, which forked children inherit.
class SharedCounters {
 public:
  SharedCounters()
      : memory_(Mapping::map(sizeof(AgentCounters), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS)),
        counters_(new (memory_.data()) AgentCounters{}) {}
  AgentCounters& operator*() const noexcept { return *counters_; }
  AgentCounters* operator->() const noexcept { return counters_; }

 private:
  Mapping memory_;
  AgentCounters* counters_;
};

}  // namespace crx::ipc
