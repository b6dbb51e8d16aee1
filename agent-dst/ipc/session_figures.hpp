// The figures of one session for the metrics pages.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "common/base/fd.hpp"
#include "common/base/mapping.hpp"

namespace crx::ipc {

// How far a session is, as its process can observe it.
enum class SessionStage : uint32_t { receiving = 0, frozen, prepared, resumed, over };

// The counts of a session's process, in memory that it shares with the supervisor and the front. No decision depends
// on it: the process parses hostile bytes and may have been taken over, so a reader takes no value for possible.
struct SharedFigures {
  std::atomic<SessionStage> stage;
  std::atomic<uint32_t> processes;   // in the last layout, without zombies: these have vessels or have been moved
  std::atomic<uint64_t> wire_bytes;  // frame payloads, before TLS
  std::atomic<uint64_t> content_pages, zero_pages;  // received
  std::atomic<int64_t> downtime_us;  // of the tree, as far as it is known here, and 1 more; 0: not resumed
  std::atomic<bool> counted;         // set by the supervisor: the counters of the agent contain them
};
static_assert(std::atomic<uint64_t>::is_always_lock_free);

// A copy.
struct SessionFigures {
  std::string id, peer;
  const char* state = "receiving";  // receiving, frozen, prepared, resumed, over
  int64_t age_us = 0;               // since Hello
  uint64_t wire_bytes = 0;
  uint64_t bytes_per_second = 0;  // of them, over the last seconds
  uint64_t content_pages = 0, zero_pages = 0;
  unsigned processes = 0;
  int64_t downtime_us = -1;  // -1: not resumed
};

// The memory of SharedFigures: a memfd, sealed so that neither side can cause a fault in the other.
class FiguresMemory {
 public:
  // A new one, all zero. Throws Error.
  static Fd make();
  // Maps it after a check of its size and seals. Throws Error.
  FiguresMemory(const Fd& memfd, bool writable);

  SharedFigures& operator*() const noexcept { return *reinterpret_cast<SharedFigures*>(memory_.data()); }
  SharedFigures* operator->() const noexcept { return &**this; }
  // A copy without impossible values, so that sums do not overflow; id, peer, age_us and the rate are left to the
  // caller.
  SessionFigures read() const;

 private:
  Mapping memory_;
};

}  // namespace crx::ipc
