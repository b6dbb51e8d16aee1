#include "wire/buffer_pool.hpp"

#include <sys/mman.h>

#include <chrono>

namespace crx::wire {

BufferPool::BufferPool(unsigned buffers)
    : memory_(Mapping::map(buffers * kBatchBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS)) {
  // The first access is several times cheaper with huge pages; it also works without them.
  (void)::madvise(memory_.data(), memory_.size(), MADV_HUGEPAGE);
  for (unsigned i = buffers; i > 0; --i) free_.push_back(memory_.data() + (i - 1) * kBatchBytes);
}

PageBuffer BufferPool::acquire(Deadline deadline) {
  std::unique_lock lock(mutex_);
  if (free_.empty()) ++waits_;
  const auto ready = [this] { return stopped_ || !free_.empty(); };
  if (const int64_t left_ns = deadline.left_ns(); left_ns == INT64_MAX)
    available_.wait(lock, ready);
  else
    available_.wait_for(lock, std::chrono::nanoseconds(left_ns), ready);
  if (stopped_ || free_.empty()) return {};
  std::byte* data = free_.back();
  free_.pop_back();
  return {data, this};
}

void BufferPool::take_back(std::byte* data) noexcept {
  {
    const std::lock_guard lock(mutex_);
    free_.push_back(data);  // never exceeds the initial capacity, so it does not allocate and cannot throw
  }
  available_.notify_one();
}

uint64_t BufferPool::waits() const {
  const std::lock_guard lock(mutex_);
  return waits_;
}

void BufferPool::stop() noexcept {
  const std::lock_guard lock(mutex_);
  stopped_ = true;
  available_.notify_all();
}

}  // namespace crx::wire
