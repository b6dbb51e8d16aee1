// The pages that come first into memory which nobody has touched.
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

// In the first round memory is filled faster through a userfaultfd of the vessel's (page_placer.hpp). While it is
// there, calls that touch absent memory of the vessel fail; so it goes when the second layout is applied or the first
// page is found to exist.
class FirstPages {
 public:
  // Makes the userfaultfd. Without effect where the kernel does not do it.
  void make(VesselCalls& calls);
  // From here on place() does nothing.
  void end() noexcept { placer_.reset(); }
  // Fills absent pages of private anonymous memory that is not in huge pages. vmas: all of the vessel. Returns how many
  // bytes from the start are done; when not all are, this has ended.
  std::size_t place(const std::vector<Vma>& vmas, uint64_t addr, std::span<const std::byte> bytes);

 private:
  std::optional<PagePlacer> placer_;
  bool registered_ = false;
};

}  // namespace crx
