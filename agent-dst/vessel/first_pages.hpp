// Writes the first pages into a vessel's memory, which is still untouched.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "agent-dst/vessel/layout.hpp"
#include "agent-dst/vessel/vessel_calls.hpp"
#include "common/kernel/memory/page_placer.hpp"

namespace crx {

// A userfaultfd of the vessel (page_placer.hpp) fills memory faster than writes do in the first round. While it exists,
// system calls that touch absent memory of the vessel fail. So it is closed when the second layout is applied, or
// earlier, when a page turns out to exist already. Single-threaded.
class FirstPages {
 public:
  // Creates the userfaultfd by a call of the vessel. Has no effect where the kernel does not support it.
  void make(VesselCalls& calls);
  // Closes the userfaultfd: from here on place() does nothing and returns 0.
  void end() noexcept { placer_.reset(); }
  // Fills absent pages at `addr`, which must be private anonymous memory without huge pages. vmas: all mappings of the
  // vessel. Returns how many bytes from the start were written; if fewer than all, end() has been called.
  std::size_t place(const std::vector<Vma>& vmas, uint64_t addr, std::span<const std::byte> bytes);

 private:
  std::optional<PagePlacer> placer_;
  bool registered_ = false;
};

}  // namespace crx
