// The bounded set of page buffers between an engine and its connections.
#pragma once

#include <condition_variable>
#include <mutex>
#include <vector>

#include "common/base/mapping.hpp"
#include "wire/link.hpp"

namespace crx::wire {

// Thread-safe. The buffer given back last is handed out first: it is still in the caches, and buffers that
// are never needed are never touched.
class BufferPool final : public PageBuffer::Pool {
 public:
  explicit BufferPool(unsigned buffers);
  // Blocks while all buffers are out; an empty buffer once stop() was called.
  PageBuffer acquire();
  void rollback(std::byte* data) noexcept override;
  // How often acquire() had to wait so far.
  uint64_t waits() const;
  // Wakes everybody; acquire() no longer blocks.
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
