// The sessions, trees and sets of crx-agent for its status page: memory that the supervisor writes and the front reads.
#pragma once

#include <sys/mman.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <type_traits>

#include "agent-dst/ipc/supervisor_packets.hpp"
#include "common/base/mapping.hpp"

namespace crx::ipc {

// A tree that was moved here and runs. All times are CLOCK_REALTIME.
struct BoardTree {
  Text<40> session;
  Text<20> comm;  // of the root
  Text<200> peer;
  int32_t pid = 0;             // of the root, in its own PID namespace
  uint32_t own_namespace = 0;  // --new-pids
  uint32_t processes = 0;      // with the init of its PID namespace
  int64_t since_ns = 0;        // the resume
  uint64_t memory_bytes = 0;   // resident in all processes; shared pages count once for each
};

// A session that has ended.
struct BoardSession {
  Text<40> session;
  Text<20> comm;
  Text<200> peer;
  Text<12> purpose;  // "move", "check", "store"
  Text<12> outcome;  // as in the metrics
  Text<400> detail;
  int64_t ended_ns = 0;
  int64_t duration_us = -1, downtime_us = -1;  // -1: unknown
  uint64_t wire_bytes = 0, pages = 0;
  uint32_t processes = 0;
};

// A set in the store.
struct BoardSet {
  Text<200> name;
  uint64_t bytes = 0;
  int64_t modified_ns = 0;
};

// The lists as they are shown, the newest first; what does not fit is only counted.
struct BoardLists {
  Text<100> host;  // the name of the host
  std::array<BoardTree, 128> trees;
  std::array<BoardSession, 100> ended;
  std::array<BoardSet, 64> sets;
  uint32_t shown_trees = 0, shown_ended = 0, shown_sets = 0;
  uint32_t all_trees = 0, all_sets = 0;
};
static_assert(std::is_trivially_copyable_v<BoardLists>);

// Anonymous shared memory, which forked children inherit. The front can write it, so the supervisor never reads it.
class SharedBoard {
 public:
  SharedBoard()
      : memory_(Mapping::map(sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS)),
        shared_(new (memory_.data()) Shared{}) {}

  // In the supervisor.
  void publish(const BoardLists& lists) noexcept {
    ++shared_->changes;
    std::memcpy(&shared_->lists, &lists, sizeof lists);
    ++shared_->changes;
  }
  // In the front: a copy, made again if the supervisor was writing. Numbers in it are within their arrays.
  std::unique_ptr<BoardLists> read() const {
    auto copy = std::make_unique<BoardLists>();
    for (int i = 0; i < kAttempts; ++i) {
      const uint64_t changes = shared_->changes;
      std::memcpy(copy.get(), &shared_->lists, sizeof *copy);
      std::atomic_thread_fence(std::memory_order_seq_cst);
      if (changes % 2 == 0 && changes == shared_->changes) break;
    }
    limit(copy->shown_trees, copy->trees.size());
    limit(copy->shown_ended, copy->ended.size());
    limit(copy->shown_sets, copy->sets.size());
    return copy;
  }

 private:
  static constexpr int kAttempts = 8;
  static void limit(uint32_t& shown, std::size_t size) { shown = shown > size ? static_cast<uint32_t>(size) : shown; }
  struct Shared {
    std::atomic<uint64_t> changes;  // odd while the supervisor writes
    BoardLists lists;
  };

  Mapping memory_;
  Shared* shared_;
};

}  // namespace crx::ipc
