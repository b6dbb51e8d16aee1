// What is true of single mappings and has no place in CRIU's mm image.
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

// An entry for every mapping that has something to tell: what `map` knows (names, seals, locking on fault) and its
// memory policy (get_mempolicy(2) in the task). In two steps, so that many tasks answer at the same time. The task is
// frozen, with its arena, which is taken in between. Task and map must outlive this object.
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
  std::vector<MemoryVma> vmas_;  // that can have a policy
  std::size_t first_ = 0;        // of those that are asked for
  ArenaPiece<Answer> answers_;
  std::optional<RemoteBatch> batch_;  // under way
  std::map<uint64_t, img::crx_vma_entry> entries_;
};

}  // namespace crx
