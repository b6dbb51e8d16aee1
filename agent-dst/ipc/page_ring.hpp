// The shared memory in which the front hands decoded pages to the engine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "common/base/fd.hpp"
#include "common/base/mapping.hpp"

namespace crx::ipc {

// A memfd of kSlots * kBatchBytes, sealed against shrinking and growing, so that neither side can make the
// other fault. Throws Error.
Fd make_ring();

class PageRing {
 public:
  // Maps it; checks size and seals. Throws Error.
  PageRing(Fd memfd, bool writable);
  // slot < kSlots
  std::span<std::byte> slot(uint32_t slot) const;

 private:
  Mapping memory_;
};

}  // namespace crx::ipc
