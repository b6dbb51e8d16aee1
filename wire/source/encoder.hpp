// Compresses page batches on a small pool of threads.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "wire/page_codec.hpp"
#include "wire/source/source_queues.hpp"

namespace crx::wire {

// Thread-safe.
class Encoder {
 public:
  // done: called on a thread of the pool for every batch, whether or not it got smaller.
  using Done = std::function<void(const std::shared_ptr<OutgoingBatch>&)>;
  Encoder(unsigned threads, Done done);
  ~Encoder();
  Encoder(const Encoder&) = delete;
  Encoder& operator=(const Encoder&) = delete;

  // pages: the uncompressed description of the batch; its content is in batch->buffer.
  void submit(std::shared_ptr<OutgoingBatch> batch, PageBatch pages, int level);

  struct Statistics {
    uint64_t pages = 0;     // pages that are sent compressed
    uint64_t bytes_in = 0;  // bytes that were passed to the compressor
    uint64_t bytes_out = 0;
    uint64_t busy_ns = 0;  // CPU time of all threads
  };
  Statistics statistics() const;
  unsigned threads() const { return static_cast<unsigned>(threads_.size()); }

 private:
  struct Job {
    std::shared_ptr<OutgoingBatch> batch;
    PageBatch pages;
    int level = 1;
  };
  void work();
  void encode(Job& job, Compressor& compressor, std::vector<std::byte>& scratch);

  Done done_;
  mutable std::mutex mutex_;
  std::condition_variable queued_;
  std::deque<Job> jobs_;
  Statistics statistics_;
  bool stopped_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace crx::wire
