// A batch of pages as it travels: a header, its ranges, then the content of those pages that are not all
// zero, as they are or compressed (PROTOCOL.md §5).
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
inline constexpr std::size_t kMaxRanges = kBatchPages;  // every range holds at least a page
inline constexpr std::size_t kMaxBatchHead = kBatchHeaderBytes + kMaxRanges * kRangeBytes;
inline constexpr std::size_t kMaxBatchPayload = kMaxBatchHead + kBatchBytes;

struct PageBatch {
  PageSpace space;
  PageEncoding encoding = PageEncoding::raw;
  // Messages sent on the control stream before this batch (modulo 2^32): the batch is delivered after them.
  uint32_t after_messages = 0;
  std::vector<PageRange> ranges;       // with content
  std::vector<PageRange> zero_ranges;  // all zero
  uint32_t encoded_bytes = 0;          // of the content, as it follows the head

  uint64_t content_bytes() const { return total_pages(ranges) * kPageSize; }
};

// Header and ranges of a batch.
std::string encode_head(const PageBatch& batch);
// The part of the head that has a fixed size says how long the whole head is; throws Error(peer).
std::size_t head_bytes(std::span<const std::byte> fixed);
// The encoded size a head claims; of a head that head_bytes() accepted.
std::size_t encoded_bytes_of(std::span<const std::byte> head);
// Parses a whole head. payload_bytes: the frame's length, which must fit. Throws Error(peer) on anything that
// is not as encode_head makes it: unaligned, empty, overlapping or unordered ranges, too many pages, sizes
// that do not agree.
PageBatch parse_head(std::span<const std::byte> head, std::size_t payload_bytes);

// Splits what stands in `bytes` into zero pages and others; moves the others to the front.
void take_out_zero_pages(std::span<std::byte> bytes, PageBatch& batch);
bool is_zero_page(const std::byte* page);

// How to encode content: "none", "zstd", "zstd:LEVEL", "auto".
struct Compression {
  enum class Mode { none, zstd, automatic } mode = Mode::automatic;
  int level = 1;
};
// Throws Error(refused) naming --compress.
Compression parse_compression(const std::string& text);

// zstd with a context of its own; one per thread.
class Compressor {
 public:
  Compressor();
  ~Compressor();
  Compressor(const Compressor&) = delete;
  Compressor& operator=(const Compressor&) = delete;
  // The compressed bytes, or nothing when they would not be smaller than `from`.
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
  // Fills `to` exactly; throws Error(peer) when the bytes are not a zstd frame of that size.
  void decompress(std::span<const std::byte> from, std::span<std::byte> to);

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

}  // namespace crx::wire
