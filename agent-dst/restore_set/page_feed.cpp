#include "agent-dst/restore_set/page_feed.hpp"

#include <algorithm>

namespace crx {
namespace {

constexpr uint64_t kPartBytes = uint64_t{1} << 20;
constexpr std::size_t kBuffers = 4;

}  // namespace

PageFeed::PageFeed(const ImageSet& set, PageSpace space) : set_(set), pieces_(set.pages(space)), buffers_(kBuffers) {
  for (Buffer& buffer : buffers_) free_.push_back(&buffer);
  thread_ = std::thread([this] { read_all(); });
}

PageFeed::~PageFeed() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

std::optional<PageFeed::Part> PageFeed::next() {
  std::unique_lock lock(mutex_);
  if (used_ != nullptr) {
    free_.push_back(used_);
    used_ = nullptr;
    changed_.notify_all();
  }
  changed_.wait(lock, [this] { return read_ || !full_.empty(); });
  if (full_.empty()) {
    if (failure_) std::rethrow_exception(failure_);
    return std::nullopt;
  }
  used_ = full_.front();
  full_.pop_front();
  return Part{used_->range, std::span(used_->memory).first(used_->range.bytes())};
}

void PageFeed::read_all() noexcept {
  std::exception_ptr failure;
  try {
    read_pieces();
  } catch (const std::exception&) {  // handed on to next()
    failure = std::current_exception();
  }
  {
    const std::lock_guard lock(mutex_);
    read_ = true;
    failure_ = failure;
  }
  changed_.notify_all();
}

PageFeed::Buffer* PageFeed::take_free() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return ending_ || !free_.empty(); });
  if (ending_) return nullptr;
  Buffer* buffer = free_.front();
  free_.pop_front();
  return buffer;
}

void PageFeed::read_pieces() {
  for (const PagePiece& piece : pieces_) {
    for (uint64_t at = piece.range.start; at < piece.range.end;) {
      Buffer* buffer = take_free();
      if (buffer == nullptr) return;
      buffer->range = {at, std::min(piece.range.end, at + kPartBytes)};
      if (buffer->memory.size() < buffer->range.bytes()) buffer->memory.resize(kPartBytes);
      set_.read(piece, buffer->range, std::span(buffer->memory).first(buffer->range.bytes()));
      at = buffer->range.end;
      {
        const std::lock_guard lock(mutex_);
        full_.push_back(buffer);
      }
      changed_.notify_all();
    }
  }
}

}  // namespace crx
