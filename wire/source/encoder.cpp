#include "wire/source/encoder.hpp"

#include <cstring>

#include "common/base/clock.hpp"

namespace crx::wire {

Encoder::Encoder(unsigned threads, Done done) : done_(std::move(done)) {
  for (unsigned i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
}

Encoder::~Encoder() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    jobs_.clear();
  }
  queued_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void Encoder::submit(std::shared_ptr<OutgoingBatch> batch, PageBatch pages, int level) {
  {
    const std::lock_guard lock(mutex_);
    jobs_.push_back({std::move(batch), std::move(pages), level});
  }
  queued_.notify_one();
}

Encoder::Statistics Encoder::statistics() const {
  const std::lock_guard lock(mutex_);
  return statistics_;
}

void Encoder::work() {
  Compressor compressor;
  std::vector<std::byte> scratch(kBatchBytes);
  for (;;) {
    Job job;
    {
      std::unique_lock lock(mutex_);
      queued_.wait(lock, [this] { return stopped_ || !jobs_.empty(); });
      if (stopped_) return;
      job = std::move(jobs_.front());
      jobs_.pop_front();
    }
    encode(job, compressor, scratch);
    done_(job.batch);
  }
}

void Encoder::encode(Job& job, Compressor& compressor, std::vector<std::byte>& scratch) {
  const std::size_t bytes = job.pages.content_bytes();
  const int64_t start_ns = monotonic_ns();
  const std::size_t smaller = compressor.compress({job.batch->buffer.data(), bytes}, scratch, job.level);
  const auto took_ns = static_cast<uint64_t>(monotonic_ns() - start_ns);
  if (smaller > 0) {
    std::memcpy(job.batch->buffer.data(), scratch.data(), smaller);
    job.pages.encoding = PageEncoding::zstd;
    job.pages.encoded_bytes = static_cast<uint32_t>(smaller);
    job.batch->head = encode_head(job.pages);
    job.batch->content_bytes = smaller;
  }
  const std::lock_guard lock(mutex_);
  statistics_.pages += smaller > 0 ? bytes / kPageSize : 0;
  statistics_.bytes_in += bytes;
  statistics_.bytes_out += smaller > 0 ? smaller : bytes;
  statistics_.busy_ns += took_ns;
}

}  // namespace crx::wire
