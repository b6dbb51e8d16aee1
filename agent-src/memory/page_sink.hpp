// The interface through which the memory code hands pages on, to a connection or to a file.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "common/base/page.hpp"

namespace crx {

// Used from one thread. A call may block (back pressure) and may throw, which ends the round; pages that were not put
// are sent in the next round.
class PageSink {
 public:
  virtual ~PageSink() = default;
  // Returns the buffer to fill: page-aligned, a whole number of pages, owned by the sink. Returns the same buffer again
  // until put() is called.
  virtual std::span<std::byte> acquire() = 0;
  // Returns the buffer to the sink. It holds the content of the pages of `ranges`, one after another from its start.
  // The ranges are ascending and disjoint, not empty, and have no more pages than the buffer.
  virtual void put(PageSpace space, std::vector<PageRange> ranges) = 0;
  // Pages that were to be sent and need not be, or cannot be now: for whoever counts how far the round has come.
  virtual void skip(uint64_t /*pages*/) {}
};

}  // namespace crx
