// What crx-agent has done since it was started: memory that the supervisor shares with its fronts.
#pragma once

#include <sys/mman.h>

#include <atomic>
#include <cstdint>
#include <new>

#include "common/base/mapping.hpp"

namespace crx::ipc {

// Each number has one writer. Nothing is decided by them: the front can write them all, and is not trusted.
struct AgentCounters {
  using Count = std::atomic<uint64_t>;
  static_assert(Count::is_always_lock_free);

  // By the supervisor. Sessions that are over, by how they ended.
  Count committed, checked, stored, refused, failed, in_doubt;
  Count open_sessions;  // whose engine runs
  Count running_roots;  // trees that came here, whose root has not ended
  Count stored_sets;    // in the store, now
  Count front_starts;
  Count started_s;  // CLOCK_REALTIME

  // By the front.
  Count connections, connections_refused;
  Count wire_bytes;                 // payloads of frames, before TLS
  Count content_pages, zero_pages;  // received
  Count moved_processes;
  Count downtimes, downtime_us, last_downtime_us;
};

// Anonymous shared memory, which children inherit.
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
