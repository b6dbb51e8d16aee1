// Properties of single mappings that CRIU's mm image has no field for.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "agent-src/collect/memory/memory_map.hpp"
#include "agent-src/freeze/frozen_task.hpp"
#include "common/image/schema/crx.pb.h"
#include "common/remote/batch.hpp"

namespace crx {

// Collects an entry for every mapping with such properties: those that `map` knows (names, seals, locking on fault) and
// its memory policy (get_mempolicy(2), called in the task). The constructor starts the calls and finish() takes the
// results, so that many tasks answer at the same time. The task is frozen and its arena injected; the arena is in use
// in between. Task and map must outlive this object.
class VmaAttributes {
 public:
  VmaAttributes(FrozenTask& task, const MemoryMap& map);
  VmaAttributes(const VmaAttributes&) = delete;
  VmaAttributes& operator=(const VmaAttributes&) = delete;
  void finish(img::crx_task_entry& extra);

 private:
  struct Answer;
  void ask(std::size_t first);
  void take();

  FrozenTask& task_;
  const MemoryMap& map_;
  std::vector<MemoryVma> vmas_;        // mappings that can have a policy
  std::size_t first_ = 0;              // index of the first mapping of the running batch
  std::optional<ArenaScope> scratch_;  // of the two below
  ArenaPiece<Answer> answers_;
  std::optional<RemoteBatch> batch_;  // in flight
  std::map<uint64_t, img::crx_vma_entry> entries_;
};

}  // namespace crx
