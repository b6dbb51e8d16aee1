// Page batches. 'd': a batch as a peer sends it; what is taken is what encode_head() writes. Any other first byte:
// pages made of the input, which must be the same after they were encoded and decoded.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "common/base/error.hpp"
#include "tests/fuzz/input.hpp"
#include "wire/page_codec.hpp"

namespace {

using namespace crx;

void decode(std::string_view bytes) {
  std::span<const std::byte> frame = std::as_bytes(std::span(bytes.data(), bytes.size()));
  if (frame.size() < wire::kBatchHeaderBytes) return;
  const std::size_t head = wire::head_bytes(frame.first(wire::kBatchHeaderBytes));
  if (head > frame.size()) return;
  const wire::PageBatch batch = wire::parse_head(frame.first(head), frame.size());
  const std::string again = wire::encode_head(batch);
  if (again != bytes.substr(0, head)) std::abort();
  std::vector<std::byte> content(batch.content_bytes());
  if (content.size() > wire::kBatchBytes || frame.size() - head != batch.encoded_bytes) std::abort();
  static wire::Decompressor decompressor;
  if (batch.encoding == wire::PageEncoding::zstd && !content.empty())
    decompressor.decompress(frame.subspan(head), content);
}

// Each byte is a page that is full of it; a gap follows where its lowest bit is set.
void encode(std::string_view bytes) {
  bytes = bytes.substr(0, 32);
  wire::PageBatch batch;
  std::vector<std::byte> pages(bytes.size() * kPageSize);
  uint64_t at = kPageSize;
  for (std::size_t i = 0; i < bytes.size(); ++i, at += kPageSize) {
    std::memset(pages.data() + i * kPageSize, bytes[i] >> 1, kPageSize);
    append_range(batch.ranges, {at, at + kPageSize});
    if ((bytes[i] & 1) != 0) at += kPageSize;
  }
  if (bytes.empty()) return;
  const std::vector<PageRange> before = batch.ranges;
  wire::take_out_zero_pages(pages, batch);
  std::vector<PageRange> both = unite(batch.ranges, batch.zero_ranges);
  if (both != before) std::abort();
  const std::size_t content = batch.content_bytes();
  static wire::Compressor compressor;
  static wire::Decompressor decompressor;
  static std::vector<std::byte> smaller(wire::kBatchBytes);
  std::vector<std::byte> back(content);
  const std::size_t encoded = compressor.compress(std::span(pages).first(content), smaller, 1);
  batch.encoding = encoded > 0 ? wire::PageEncoding::zstd : wire::PageEncoding::raw;
  batch.encoded_bytes = static_cast<uint32_t>(encoded > 0 ? encoded : content);
  const std::string head = wire::encode_head(batch);
  const wire::PageBatch read =
      wire::parse_head(std::as_bytes(std::span(head.data(), head.size())), head.size() + batch.encoded_bytes);
  if (read.ranges != batch.ranges || read.zero_ranges != batch.zero_ranges) std::abort();
  if (encoded > 0) {
    decompressor.decompress(std::span(smaller).first(encoded), back);
    if (!std::equal(back.begin(), back.end(), pages.begin())) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Input input(data, size);
  const bool decodes = input.byte() == 'd';
  if (!decodes) {
    encode(input.rest());
    return 0;
  }
  try {
    decode(input.rest());
  } catch (const Error&) {
  }
  return 0;
}
