#include "wire/page_codec.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <random>

#include "common/base/error.hpp"

using namespace crx;
using namespace crx::wire;

namespace {

constexpr uint64_t P = kPageSize;

std::span<const std::byte> bytes(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

PageBatch example() {
  PageBatch batch;
  batch.space = {PageSpace::Kind::shmem, 77};
  batch.after_messages = 5;
  batch.ranges = {{0x1000, 0x3000}, {0x9000, 0xa000}};
  batch.zero_ranges = {{0x3000, 0x5000}, {0x20000, 0x21000}};
  batch.encoded_bytes = 3 * P;
  return batch;
}

bool refused(std::string head, std::size_t payload) {
  try {
    parse_head(bytes(head), payload);
    return false;
  } catch (const Error& error) {
    return error.code() == ErrorCode::peer;
  }
}

}  // namespace

TEST_CASE("a batch header survives the wire") {
  const PageBatch batch = example();
  const std::string head = encode_head(batch);
  CHECK(head_bytes(bytes(head)) == head.size());
  const PageBatch back = parse_head(bytes(head), head.size() + 3 * P);
  CHECK(back.space == batch.space);
  CHECK(back.after_messages == 5);
  CHECK(back.ranges == batch.ranges);
  CHECK(back.zero_ranges == batch.zero_ranges);
  CHECK(back.encoded_bytes == 3 * P);
}

TEST_CASE("an inconsistent batch header is refused") {
  const std::string good = encode_head(example());
  const std::size_t payload = good.size() + 3 * P;
  CHECK_FALSE(refused(good, payload));
  CHECK(refused(good, payload - 1));
  CHECK(refused(good.substr(0, good.size() - 1), payload - 1));
  const auto with = [&](std::size_t at, char value) {
    std::string bad = good;
    bad[at] = value;
    return bad;
  };
  CHECK(refused(with(0, 9), payload));                         // kind of space
  CHECK(refused(with(1, 7), payload));                         // encoding
  CHECK(refused(with(2, 3), payload));                         // number of ranges
  CHECK(refused(with(25, 1), payload));                        // reserved
  CHECK(refused(with(kBatchHeaderBytes, 1), payload));         // unaligned start
  CHECK(refused(with(kBatchHeaderBytes + 7, 0x7f), payload));  // beyond user addresses
  std::string wrapping = good;
  wrapping.replace(kBatchHeaderBytes, 8, "\x00\xf0\xff\xff\xff\xff\xff\xff", 8);
  CHECK(refused(wrapping, payload));                                // its end lies past 2^64
  CHECK(refused(with(kBatchHeaderBytes + 8, 0), payload));          // an empty range
  CHECK(refused(with(kBatchHeaderBytes + 9, 1), payload));          // too many pages
  CHECK(refused(with(kBatchHeaderBytes + 12, 2), payload));         // kind of range
  CHECK(refused(with(kBatchHeaderBytes + 16 + 1, 0x20), payload));  // overlaps the previous range
  PageBatch many;
  many.ranges = {{0, 200 * P}, {300 * P, 400 * P}};
  many.encoded_bytes = 300 * P;
  CHECK(refused(encode_head(many), encode_head(many).size() + 300 * P));
}

TEST_CASE("random batch headers are refused at worst") {
  std::mt19937 random(7);
  const std::string good = encode_head(example());
  for (int i = 0; i < 20000; ++i) {
    std::string bad = good;
    for (unsigned k = 0; k <= random() % 4; ++k) bad[random() % bad.size()] = static_cast<char>(random());
    try {
      if (head_bytes(bytes(bad)) != bad.size()) continue;
      const PageBatch batch = parse_head(bytes(bad), bad.size() + 3 * P);
      CHECK(total_pages(batch.ranges) + total_pages(batch.zero_ranges) <= kBatchPages);
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::peer);
    }
  }
}

TEST_CASE("zero pages are removed and the others moved together") {
  std::vector<std::byte> memory(6 * P);
  for (const std::size_t page : {1U, 3U, 4U}) memory[page * P + 4095] = static_cast<std::byte>(page);
  PageBatch batch;
  batch.ranges = {{0x10000, 0x14000}, {0x20000, 0x22000}};
  take_out_zero_pages(memory, batch);
  CHECK(batch.ranges == std::vector<PageRange>{{0x11000, 0x12000}, {0x13000, 0x14000}, {0x20000, 0x21000}});
  CHECK(batch.zero_ranges == std::vector<PageRange>{{0x10000, 0x11000}, {0x12000, 0x13000}, {0x21000, 0x22000}});
  CHECK(memory[4095] == std::byte{1});
  CHECK(memory[P + 4095] == std::byte{3});
  CHECK(memory[2 * P + 4095] == std::byte{4});
}

TEST_CASE("a page is zero only if every byte is") {
  std::vector<std::byte> page(P);
  CHECK(is_zero_page(page.data()));
  for (const std::size_t at : {std::size_t{0}, std::size_t{7}, std::size_t{8}, std::size_t{2048}, std::size_t{P - 1}}) {
    page[at] = std::byte{1};
    CHECK_FALSE(is_zero_page(page.data()));
    page[at] = std::byte{0};
  }
}

TEST_CASE("compressed pages are decompressed, and damaged ones are refused") {
  std::vector<std::byte> content(64 * P), packed(64 * P), back(64 * P);
  for (std::size_t i = 0; i < content.size(); ++i) content[i] = static_cast<std::byte>(i / 100);
  Compressor compressor;
  Decompressor decompressor;
  const std::size_t n = compressor.compress(content, packed, 1);
  REQUIRE(n > 0);
  REQUIRE(n < content.size() / 2);
  decompressor.decompress(std::span(packed).first(n), back);
  CHECK(back == content);
  CHECK_THROWS_AS(decompressor.decompress(std::span(packed).first(n - 1), back), Error);
  CHECK_THROWS_AS(decompressor.decompress(std::span(packed).first(n), std::span(back).first(63 * P)), Error);
  std::vector<std::byte> larger(65 * P);
  CHECK_THROWS_AS(decompressor.decompress(std::span(packed).first(n), larger), Error);
}

TEST_CASE("--compress") {
  CHECK(parse_compression("none").mode == Compression::Mode::none);
  CHECK(parse_compression("auto").mode == Compression::Mode::automatic);
  CHECK(parse_compression("zstd").level == 1);
  CHECK(parse_compression("zstd:7").level == 7);
  for (const char* bad : {"lz4", "zstd:", "zstd:x", "zstd:99", "zstd:0", "zstd:-", "zstd:1234"}) {
    CAPTURE(bad);
    CHECK_THROWS_AS(parse_compression(bad), Error);
  }
}
