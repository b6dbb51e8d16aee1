// Where the memory work puts pages.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "common/base/page.hpp"

namespace crx {

// Used from one thread. A call may block (back pressure) and may throw, which ends the round; what was not put is
// owed to the next one.
class PageSink {
 public:
  virtual ~PageSink() = default;
  // The buffer to fill: page-aligned, whole pages, the sink's own. The same one again until put() was called.
  virtual std::span<std::byte> acquire() = 0;
  // Takes the buffer back, filled from its start with the bytes of the ranges' pages one after another. Ranges are
  // ascending and disjoint, never empty, never more than the buffer holds.
  virtual void put(PageSpace space, std::vector<PageRange> ranges) = 0;
};

}  // namespace crx
