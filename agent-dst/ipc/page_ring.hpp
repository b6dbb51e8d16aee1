// The shared memory in which a session's process passes decoded pages to the engine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "common/base/fd.hpp"
#include "common/base/mapping.hpp"

namespace crx::ipc {

// Creates a memfd of kSlots * kBatchBytes, sealed against shrinking and growing, so that neither side can cause a fault
// in the other. Throws Error.
Fd make_ring();

class PageRing {
 public:
  // Maps the memfd after a check of its size and seals. Throws Error.
  PageRing(Fd memfd, bool writable);
  // The memory of one slot; slot < kSlots.
  std::span<std::byte> slot(uint32_t slot) const;

 private:
  Mapping memory_;
};

}  // namespace crx::ipc
