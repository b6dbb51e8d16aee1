// The pages of an image set, read and checked ahead of who uses them.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "common/image/page_images.hpp"

namespace crx {

// Reads on a thread of its own. While it lives nobody else may use the set.
class PageFeed {
 public:
  struct Part {
    PageRange range;
    std::span<const std::byte> bytes;
  };
  // All pages of the space, ascending. Throws Error(corrupt_image) where the tables say nonsense.
  PageFeed(const ImageSet& set, PageSpace space);
  PageFeed(const PageFeed&) = delete;
  PageFeed& operator=(const PageFeed&) = delete;
  ~PageFeed();

  // At most a MiB, good until the next call; nothing at the end. Throws what reading threw.
  std::optional<Part> next();

 private:
  struct Buffer {
    std::vector<std::byte> memory;
    PageRange range;
  };
  void read_all() noexcept;
  void read_pieces();
  // nullptr: no more is wanted.
  Buffer* take_free();

  const ImageSet& set_;
  std::vector<PagePiece> pieces_;
  std::vector<Buffer> buffers_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Buffer*> free_, full_;
  Buffer* used_ = nullptr;  // what next() gave
  bool read_ = false;       // all of it
  bool ending_ = false;
  std::exception_ptr failure_;
  std::thread thread_;
};

}  // namespace crx
