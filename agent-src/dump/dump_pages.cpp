#include "agent-src/dump/dump_pages.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <utility>

namespace crx {
namespace {

constexpr unsigned kMaxWriters = 4;
constexpr std::size_t kBuffers = 2 * kMaxWriters;
constexpr std::size_t kBufferBytes = kChunkBytes;
constexpr std::size_t kNone = ~std::size_t{0};

}  // namespace

DumpPages::DumpPages(DirectorySink& set, wire::PageServerClient* remote)
    : set_(set),
      remote_(remote),
      memory_(
          Mapping::map(kBuffers * kBufferBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE)),
      filling_(kNone) {
  for (std::size_t i = 0; i < kBuffers; ++i) free_.push_back(i);
  // A page server takes pages one after the other.
  const unsigned cores = std::max(1U, std::thread::hardware_concurrency());
  const unsigned count = remote_ != nullptr ? 1 : std::clamp(cores - 1, 1U, kMaxWriters);
  for (unsigned i = 0; i < count; ++i) threads_.emplace_back([this] { write_jobs(); });
}

DumpPages::~DumpPages() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
    jobs_.clear();
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void DumpPages::write(const Job& job) {
  const std::span<const std::byte> bytes = memory_.span().subspan(job.buffer * kBufferBytes, kBufferBytes);
  if (job.writer != nullptr) {
    job.writer->write(job.offset, bytes.first(total_pages(job.ranges) * kPageSize));
  } else {
    remote_->add(job.space, job.ranges, bytes);
  }
}

void DumpPages::do_job(Job job, std::unique_lock<std::mutex>& lock) {
  if (!failure_) {
    lock.unlock();
    std::exception_ptr failed;
    try {
      write(job);
    } catch (const std::exception&) {  // acquire(), begin() or drain() rethrows it
      failed = std::current_exception();
    }
    lock.lock();
    if (failed) failure_ = failed;
  }
  free_.push_back(job.buffer);
  changed_.notify_all();
}

void DumpPages::write_jobs() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return ending_ || !jobs_.empty(); });
    if (jobs_.empty()) return;
    Job job = std::move(jobs_.front());
    jobs_.pop_front();
    do_job(std::move(job), lock);
  }
}

// Returns a free buffer. If there is none, the reading thread writes a filled one instead of waiting: the youngest,
// which may still be in its CPU's cache.
std::span<std::byte> DumpPages::acquire() {
  if (filling_ == kNone) {
    std::unique_lock lock(mutex_);
    if (free_.empty() && !jobs_.empty() && remote_ == nullptr) {
      Job job = std::move(jobs_.back());
      jobs_.pop_back();
      do_job(std::move(job), lock);
    }
    changed_.wait(lock, [this] { return !free_.empty(); });
    if (failure_) std::rethrow_exception(failure_);
    filling_ = free_.back();
    free_.pop_back();
  }
  return memory_.span().subspan(filling_ * kBufferBytes, kBufferBytes);
}

PageWriter* DumpPages::writer_of(PageSpace space) {
  if (remote_ != nullptr) return nullptr;
  const auto found = writers_.find(space);
  if (found != writers_.end()) return &found->second;
  return &writers_.emplace(space, PageWriter(set_, space, static_cast<uint32_t>(writers_.size() + 1))).first->second;
}

bool DumpPages::begin(PageSpace space, const std::vector<PageRange>& in_parent) {
  if (writer_of(space) != nullptr) return true;
  sent_[space];
  // This thread may use the connection while no write is under way.
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return free_.size() + (filling_ == kNone ? 0 : 1) == kBuffers; });
  if (failure_) std::rethrow_exception(failure_);
  if (!remote_->open(space) && !in_parent.empty()) return false;
  remote_->leave(in_parent);
  return true;
}

void DumpPages::put(PageSpace space, std::vector<PageRange> ranges) {
  PageWriter* writer = writer_of(space);
  if (writer == nullptr) {
    for (const PageRange& range : ranges) append_range(sent_[space], range);
  }
  const std::span<const std::byte> bytes = acquire().first(total_pages(ranges) * kPageSize);
  const uint64_t offset = writer == nullptr ? 0 : writer->claim(ranges, bytes);
  {
    const std::lock_guard lock(mutex_);
    jobs_.push_back({space, writer, offset, std::move(ranges), std::exchange(filling_, kNone)});
  }
  changed_.notify_all();
}

void DumpPages::drain() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  if (failure_) std::rethrow_exception(failure_);
  if (remote_ != nullptr) remote_->close();
}

void DumpPages::finish(const std::map<PageSpace, std::vector<PageRange>>& in_parent) {
  for (const auto& [space, writer] : writers_) {
    const auto found = in_parent.find(space);
    writer.finish(set_, found == in_parent.end() ? std::vector<PageRange>{} : found->second);
  }
}

uint64_t DumpPages::pages() const {
  uint64_t sum = remote_ == nullptr ? 0 : remote_->pages();
  for (const auto& [space, writer] : writers_) sum += writer.pages();
  return sum;
}

}  // namespace crx
