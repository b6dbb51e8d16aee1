// The encoding of a page batch: a header, its ranges, then the contents of the pages that are not all zero, plain or
// compressed (PROTOCOL.md §5).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "common/base/page.hpp"
#include "wire/link.hpp"

namespace crx::wire {

enum class PageEncoding : uint8_t { raw = 0, zstd = 1 };

inline constexpr std::size_t kBatchHeaderBytes = 32;
inline constexpr std::size_t kRangeBytes = 16;
inline constexpr std::size_t kMaxRanges = kBatchPages;  // every range holds at least one page
inline constexpr std::size_t kMaxBatchHead = kBatchHeaderBytes + kMaxRanges * kRangeBytes;
inline constexpr std::size_t kMaxBatchPayload = kMaxBatchHead + kBatchBytes;

struct PageBatch {
  PageSpace space;
  PageEncoding encoding = PageEncoding::raw;
  // The number of messages sent on the control stream before this batch (modulo 2^32); the batch is delivered after
  // them.
  uint32_t after_messages = 0;
  std::vector<PageRange> ranges;       // pages with content
  std::vector<PageRange> zero_ranges;  // pages that are all zero
  uint32_t encoded_bytes = 0;          // encoded size of the content that follows the head

  uint64_t content_bytes() const { return total_pages(ranges) * kPageSize; }
};

// Encodes the header and the ranges of a batch.
std::string encode_head(const PageBatch& batch);
// The size of the whole head, read from its part of fixed size. Throws Error(peer).
std::size_t head_bytes(std::span<const std::byte> fixed);
// The encoded size that a head states; the head must have passed head_bytes().
std::size_t encoded_bytes_of(std::span<const std::byte> head);
// Parses a whole head. payload_bytes: the length of the frame, which must match. Throws Error(peer) for anything that
// encode_head() does not produce: unaligned, empty, overlapping or unordered ranges, too many pages, inconsistent
// sizes.
PageBatch parse_head(std::span<const std::byte> head, std::size_t payload_bytes);

// Separates zero pages from the others in `bytes`, moves the others to the front, and adjusts the ranges of `batch`.
void take_out_zero_pages(std::span<std::byte> bytes, PageBatch& batch);
bool is_zero_page(const std::byte* page);

// How content is encoded: "none", "zstd", "zstd:LEVEL" or "auto".
struct Compression {
  enum class Mode { none, zstd, automatic } mode = Mode::automatic;
  int level = 1;
};
// Throws Error(refused), which names --compress.
Compression parse_compression(const std::string& text);

// zstd with a context of its own; one object per thread.
class Compressor {
 public:
  Compressor();
  ~Compressor();
  Compressor(const Compressor&) = delete;
  Compressor& operator=(const Compressor&) = delete;
  // Returns the number of compressed bytes, or 0 when they would not be fewer than in `from`.
  std::size_t compress(std::span<const std::byte> from, std::span<std::byte> to, int level);

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

class Decompressor {
 public:
  Decompressor();
  ~Decompressor();
  Decompressor(const Decompressor&) = delete;
  Decompressor& operator=(const Decompressor&) = delete;
  // Fills `to` exactly; throws Error(peer) when `from` is not a zstd frame of that size.
  void decompress(std::span<const std::byte> from, std::span<std::byte> to);

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

}  // namespace crx::wire
