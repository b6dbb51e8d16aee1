// The bounded set of page buffers that an engine and its connections share.
#pragma once

#include <condition_variable>
#include <mutex>
#include <vector>

#include "common/base/mapping.hpp"
#include "wire/link.hpp"

namespace crx::wire {

// Thread-safe. acquire() returns the buffer that came back last: it is still in the CPU's caches, and buffers that are
// never needed are never touched.
class BufferPool final : public PageBuffer::Pool {
 public:
  // Maps memory for this many buffers; it is allocated on first use.
  explicit BufferPool(unsigned buffers);
  // Blocks while all buffers are in use; returns an empty buffer when the deadline passed or stop() has been called.
  PageBuffer acquire(Deadline deadline);
  // Called by PageBuffer when a buffer is destroyed. Any thread.
  void take_back(std::byte* data) noexcept override;
  // The number of acquire() calls so far that had to wait.
  uint64_t waits() const;
  // Wakes all waiting threads; acquire() does not block any more.
  void stop() noexcept;

 private:
  Mapping memory_;
  mutable std::mutex mutex_;
  std::condition_variable available_;
  std::vector<std::byte*> free_;
  uint64_t waits_ = 0;
  bool stopped_ = false;
};

}  // namespace crx::wire
