#include "common/image/page_digests.hpp"

#include <algorithm>
#include <cstring>
#include <string>

#include "common/base/page.hpp"
#include "common/image/schema/manifest.pb.h"

namespace crx {
namespace {

constexpr std::size_t kDigestBytes = 16;
constexpr std::size_t kPagesOfEntry = 4096;
constexpr uint64_t kEnd = uint64_t{1} << 57;

}  // namespace

PageDigests PageDigests::read(std::string_view name, std::string_view bytes) {
  PageDigests all;
  ImageReader image{std::string(name), bytes};
  uint64_t last = 0;
  for (img::crx_page_digests entry; image.next(entry);) {
    const std::size_t count = entry.digests().size() / kDigestBytes;
    if (entry.start() % kPageSize != 0 || entry.start() < last || entry.start() > kEnd || count > kPagesOfEntry ||
        entry.digests().size() % kDigestBytes != 0) {
      image.fail("the digests are malformed");
    }
    for (std::size_t i = 0; i < count; ++i) {
      Digest128 digest;
      std::memcpy(digest.bytes.data(), entry.digests().data() + i * kDigestBytes, kDigestBytes);
      all.add(entry.start() + i * kPageSize, digest);
    }
    last = entry.start() + count * kPageSize;
  }
  return all;
}

void PageDigests::write(ImageSink& images, std::string_view name) const {
  images.create(name);
  for (std::size_t at = 0; at < pages_.size();) {
    img::crx_page_digests entry;
    entry.set_start(pages_[at].first);
    uint64_t next = entry.start();
    for (; at < pages_.size() && pages_[at].first == next && entry.digests().size() < kPagesOfEntry * kDigestBytes;
         ++at) {
      entry.mutable_digests()->append(pages_[at].second.view());
      next += kPageSize;
    }
    images.append(name, entry);
  }
}

const Digest128* PageDigests::find(uint64_t offset) const {
  const auto found =
      std::partition_point(pages_.begin(), pages_.end(), [offset](const auto& page) { return page.first < offset; });
  return found == pages_.end() || found->first != offset ? nullptr : &found->second;
}

}  // namespace crx
