// The activity of crx-agent since its start, as counters in memory that the supervisor shares with its fronts.
#pragma once

#include <sys/mman.h>

#include <atomic>
#include <cstdint>
#include <new>

#include "common/base/mapping.hpp"

namespace crx::ipc {

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
