// The pages of an image set, read and checked ahead of their use.
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

// Reads on a thread of its own. Nothing else may use the set while this object exists.
class PageFeed {
 public:
  struct Part {
    PageRange range;
    std::span<const std::byte> bytes;
  };
  // Provides all pages of the space, ascending. Throws Error(corrupt_image) if the tables are invalid.
  PageFeed(const ImageSet& set, PageSpace space);
  PageFeed(const PageFeed&) = delete;
  PageFeed& operator=(const PageFeed&) = delete;
  ~PageFeed();

  // At most 1 MiB, valid until the next call; nullopt at the end. Throws the exception that reading threw.
  std::optional<Part> next();

 private:
  struct Buffer {
    std::vector<std::byte> memory;
    PageRange range;
  };
  void read_all() noexcept;
  void read_pieces();
  // nullptr: the object is being destroyed.
  Buffer* take_free();

  const ImageSet& set_;
  std::vector<PagePiece> pieces_;
  std::vector<Buffer> buffers_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Buffer*> free_, full_;
  Buffer* used_ = nullptr;  // the buffer that next() returned last
  bool read_ = false;       // everything has been read
  bool ending_ = false;
  std::exception_ptr failure_;
  std::thread thread_;
};

}  // namespace crx
