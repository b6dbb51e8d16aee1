// Digests of an object's pages, kept beside a set (crx-shmem-ID.img): how the next set finds out what has changed.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/digest.hpp"
#include "common/image/image_io.hpp"

namespace crx {

// A value. Pages by their offset.
class PageDigests {
 public:
  // `name`: for messages. Error(corrupt_image) for what no set has.
  static PageDigests read(std::string_view name, std::string_view bytes);
  void write(ImageSink& images, std::string_view name) const;

  // Ascending.
  void add(uint64_t offset, const Digest128& digest) { pages_.emplace_back(offset, digest); }
  // nullptr: not known.
  const Digest128* find(uint64_t offset) const;
  bool empty() const noexcept { return pages_.empty(); }

 private:
  std::vector<std::pair<uint64_t, Digest128>> pages_;
};

}  // namespace crx
