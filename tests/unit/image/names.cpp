#include <doctest/doctest.h>

#include <string>

#include "common/base/error.hpp"
#include "common/base/page.hpp"
#include "common/image/image_store.hpp"
#include "common/image/magic.hpp"
#include "common/image/page_digests.hpp"
#include "common/image/page_images.hpp"
#include "common/image/schema/manifest.pb.h"
#include "common/image/set_name.hpp"

namespace crx {
namespace {

Digest128 digest_of(uint8_t number) {
  Digest128 digest;
  digest.bytes.fill(number);
  return digest;
}

TEST_CASE("names of sets lead nowhere else") {
  for (const char* good : {"a", "set-1", "A.b_c", "1", "a..b"}) CHECK(valid_set_name(good));
  for (const char* bad : {"", ".", "..", ".a", "a/b", "/", "../a", "a b", "a\nb", "journal", "\xc3\xa4"})
    CHECK_FALSE(valid_set_name(bad));
  CHECK(valid_set_name(std::string(64, 'x')));
  CHECK_FALSE(valid_set_name(std::string(65, 'x')));
  CHECK_FALSE(valid_set_name(std::string("a\0b", 3)));
}

TEST_CASE("pagemaps show their space by their name") {
  CHECK(space_of_pagemap("pagemap-12.img") == PageSpace{PageSpace::Kind::mm, 12});
  CHECK(space_of_pagemap("pagemap-shmem-12.img") == PageSpace{PageSpace::Kind::shmem, 12});
  for (const char* other : {"pagemap-.img", "pagemap-x.img", "pagemap-1x.img", "pages-1.img", "pagemap-1",
                            "pagemap-99999999999999999999.img", "pagemap-shmem-.img", "pagemap-"}) {
    CHECK_FALSE(space_of_pagemap(other).has_value());
  }
}

TEST_CASE("digests of pages are read back from an image") {
  PageDigests digests;
  for (uint64_t page = 0; page < 10000; ++page)
    digests.add(page * kPageSize * (page < 5000 ? 1 : 2), digest_of(static_cast<uint8_t>(page)));
  ImageStore store;
  const std::string name = image_file::crx_shmem(7);
  digests.write(store, name);
  const PageDigests read = PageDigests::read(name, store.load(name));
  REQUIRE(read.find(kPageSize) != nullptr);
  CHECK(*read.find(kPageSize) == digest_of(1));
  CHECK(*read.find(9999 * kPageSize * 2) == digest_of(static_cast<uint8_t>(9999)));
  CHECK(read.find(5001 * kPageSize) == nullptr);
  CHECK(read.find(1) == nullptr);
}

TEST_CASE("malformed digests of pages are refused") {
  const std::string name = image_file::crx_shmem(7);
  const auto refuses = [&](uint64_t start, std::size_t bytes, uint64_t second) {
    ImageStore store;
    img::crx_page_digests entry;
    entry.set_start(start);
    entry.set_digests(std::string(bytes, 'x'));
    store.append(name, entry);
    entry.set_start(second);
    store.append(name, entry);
    CHECK_THROWS_AS(PageDigests::read(name, store.load(name)), Error);
  };
  refuses(1, 16, 1 << 20);
  refuses(0, 15, 1 << 20);
  refuses(0, 16 * 4097, 1 << 30);
  refuses(1 << 20, 16, 0);
  refuses(uint64_t{1} << 60, 16, uint64_t{1} << 61);
}

}  // namespace
}  // namespace crx
