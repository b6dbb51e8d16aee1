// Digests of the pages of a shared memory object, stored in a set (crx-shmem-ID.img). The next set finds changed pages
// by them.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/digest.hpp"
#include "common/image/image_io.hpp"

namespace crx {

// A value type. Pages are identified by their offset in the object.
class PageDigests {
 public:
  // `name` is used in messages. Throws Error(corrupt_image) for bytes that no set contains.
  static PageDigests read(std::string_view name, std::string_view bytes);
  void write(ImageSink& images, std::string_view name) const;

  // Offsets must be added in ascending order.
  void add(uint64_t offset, const Digest128& digest) { pages_.emplace_back(offset, digest); }
  // nullptr when the digest of this page is not known.
  const Digest128* find(uint64_t offset) const;
  bool empty() const noexcept { return pages_.empty(); }

 private:
  std::vector<std::pair<uint64_t, Digest128>> pages_;
};

}  // namespace crx
