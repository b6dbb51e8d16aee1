#include "wire/page_codec.hpp"

#include <fmt/format.h>
#include <zstd.h>

#include <cstring>

#include "common/base/error.hpp"
#include "wire/frame.hpp"
#include "wire/limits.hpp"

// Head: u8 space kind, u8 encoding, u16 number of ranges, u32 after_messages, u64 space id, u32 encoded bytes, 12 zero
// bytes. Range: u64 start, u32 pages, u32 kind (0 content, 1 zero).
namespace crx::wire {
namespace {

constexpr uint32_t kContent = 0;
constexpr uint32_t kZero = 1;

[[noreturn]] void bad_pages(std::string what) {
  throw Error(ErrorCode::peer, "reading pages", std::move(what));
}

void append_range_bytes(std::string& out, PageRange range, uint32_t kind) {
  std::byte bytes[kRangeBytes];
  put_u64(bytes, range.start);
  put_u32(bytes + 8, static_cast<uint32_t>(range.pages()));
  put_u32(bytes + 12, kind);
  out.append(reinterpret_cast<const char*>(bytes), sizeof bytes);
}

PageRange parse_range(const std::byte* p, uint64_t& last_end) {
  const uint64_t start = get_u64(p);
  const uint32_t pages = get_u32(p + 8);
  if (start % kPageSize != 0) bad_pages(fmt::format("a range at {:#x} is not page-aligned", start));
  if (pages == 0 || pages > kBatchPages) bad_pages(fmt::format("a range of {} pages", pages));
  const uint64_t end = start + pages * kPageSize;
  if (start < last_end || start > kMaxAddress || end > kMaxAddress)  // the sum may have passed 2^64
    bad_pages(fmt::format("a range at {:#x} is out of order or of bounds", start));
  last_end = end;
  return {start, end};
}

}  // namespace

std::string encode_head(const PageBatch& batch) {
  std::byte fixed[kBatchHeaderBytes] = {};
  const std::size_t ranges = batch.ranges.size() + batch.zero_ranges.size();
  fixed[0] = static_cast<std::byte>(batch.space.kind);
  fixed[1] = static_cast<std::byte>(batch.encoding);
  fixed[2] = static_cast<std::byte>(ranges & 0xff);
  fixed[3] = static_cast<std::byte>(ranges >> 8);
  put_u32(fixed + 4, batch.after_messages);
  put_u64(fixed + 8, batch.space.id);
  put_u32(fixed + 16, batch.encoded_bytes);
  std::string out(reinterpret_cast<const char*>(fixed), sizeof fixed);
  out.reserve(sizeof fixed + ranges * kRangeBytes);
  // Both kinds of ranges form one ascending list, so that the receiver can check that nothing overlaps.
  auto zero = batch.zero_ranges.begin();
  for (const PageRange& range : batch.ranges) {
    for (; zero != batch.zero_ranges.end() && zero->start < range.start; ++zero) append_range_bytes(out, *zero, kZero);
    append_range_bytes(out, range, kContent);
  }
  for (; zero != batch.zero_ranges.end(); ++zero) append_range_bytes(out, *zero, kZero);
  return out;
}

std::size_t head_bytes(std::span<const std::byte> fixed) {
  if (fixed.size() < kBatchHeaderBytes) bad_pages("a batch without a header");
  const std::size_t ranges = static_cast<std::size_t>(fixed[2]) | static_cast<std::size_t>(fixed[3]) << 8;
  if (ranges == 0 || ranges > kMaxRanges) bad_pages(fmt::format("a batch of {} ranges", ranges));
  return kBatchHeaderBytes + ranges * kRangeBytes;
}

std::size_t encoded_bytes_of(std::span<const std::byte> head) {
  return get_u32(head.data() + 16);
}

PageBatch parse_head(std::span<const std::byte> head, std::size_t payload_bytes) {
  if (head_bytes(head) != head.size()) bad_pages("a batch header of the wrong size");
  PageBatch batch;
  const auto kind = static_cast<uint8_t>(head[0]);
  const auto encoding = static_cast<uint8_t>(head[1]);
  if (kind != static_cast<uint8_t>(PageSpace::Kind::mm) && kind != static_cast<uint8_t>(PageSpace::Kind::shmem)) {
    bad_pages(fmt::format("an address space of kind {}", kind));
  }
  if (encoding > static_cast<uint8_t>(PageEncoding::zstd)) bad_pages(fmt::format("encoding {} is unknown", encoding));
  for (std::size_t i = 20; i < kBatchHeaderBytes; ++i) {
    if (head[i] != std::byte{0}) bad_pages("reserved bits are set in a batch");
  }
  batch.encoding = static_cast<PageEncoding>(encoding);
  batch.after_messages = get_u32(head.data() + 4);
  batch.space = {static_cast<PageSpace::Kind>(kind), get_u64(head.data() + 8)};
  batch.encoded_bytes = get_u32(head.data() + 16);

  uint64_t last_end = 0;
  uint64_t pages = 0;
  for (std::size_t at = kBatchHeaderBytes; at < head.size(); at += kRangeBytes) {
    const PageRange range = parse_range(head.data() + at, last_end);
    const uint32_t what = get_u32(head.data() + at + 12);
    if (what > kZero) bad_pages(fmt::format("a range of kind {}", what));
    pages += range.pages();
    append_range(what == kZero ? batch.zero_ranges : batch.ranges, range);
  }
  if (pages > kBatchPages) bad_pages(fmt::format("a batch of {} pages", pages));
  const uint64_t content = batch.content_bytes();
  const bool fits = batch.encoding == PageEncoding::raw ? batch.encoded_bytes == content
                                                        : batch.encoded_bytes > 0 && batch.encoded_bytes < content;
  if (!fits || payload_bytes != head.size() + batch.encoded_bytes) bad_pages("the sizes in a batch do not agree");
  return batch;
}

bool is_zero_page(const std::byte* page) {
  // A zero page starts with eight zero bytes and equals itself shifted by eight bytes; memcmp is vectorised.
  uint64_t first = 0;
  std::memcpy(&first, page, sizeof first);
  return first == 0 && std::memcmp(page, page + sizeof first, kPageSize - sizeof first) == 0;
}

void take_out_zero_pages(std::span<std::byte> bytes, PageBatch& batch) {
  std::vector<PageRange> content;
  const std::byte* from = bytes.data();
  std::byte* to = bytes.data();
  for (const PageRange& range : batch.ranges) {
    for (uint64_t addr = range.start; addr < range.end; addr += kPageSize, from += kPageSize) {
      const PageRange page{addr, addr + kPageSize};
      if (is_zero_page(from)) {
        append_range(batch.zero_ranges, page);
        continue;
      }
      append_range(content, page);
      if (to != from) std::memcpy(to, from, kPageSize);
      to += kPageSize;
    }
  }
  batch.ranges = std::move(content);
}

Compression parse_compression(const std::string& text) {
  if (text == "none") return {Compression::Mode::none, 0};
  if (text == "auto" || text.empty()) return {Compression::Mode::automatic, 1};
  if (text == "zstd") return {Compression::Mode::zstd, 1};
  if (text.rfind("zstd:", 0) == 0) {
    const std::string number = text.substr(5);
    const bool digits = !number.empty() && number.size() <= 3 &&
                        number.find_first_not_of("0123456789", number[0] == '-' ? 1 : 0) == std::string::npos &&
                        number != "-";
    const int level = digits ? std::stoi(number) : 0;
    if (digits && level != 0 && level <= ZSTD_maxCLevel()) return {Compression::Mode::zstd, level};
  }
  throw Error(ErrorCode::refused, "reading --compress", text + " is not a compression method")
      .with_hint(fmt::format("use none, auto, zstd or zstd:LEVEL with a level from 1 to {}", ZSTD_maxCLevel()));
}

struct Compressor::Context {
  ZSTD_CCtx* zstd = ZSTD_createCCtx();
  ~Context() { ZSTD_freeCCtx(zstd); }
};

Compressor::Compressor() : context_(std::make_unique<Context>()) {}
Compressor::~Compressor() = default;

std::size_t Compressor::compress(std::span<const std::byte> from, std::span<std::byte> to, int level) {
  const std::size_t n = ZSTD_compressCCtx(context_->zstd, to.data(), to.size(), from.data(), from.size(), level);
  return ZSTD_isError(n) != 0 || n >= from.size() ? 0 : n;
}

struct Decompressor::Context {
  ZSTD_DCtx* zstd = ZSTD_createDCtx();
  ~Context() { ZSTD_freeDCtx(zstd); }
};

Decompressor::Decompressor() : context_(std::make_unique<Context>()) {}
Decompressor::~Decompressor() = default;

void Decompressor::decompress(std::span<const std::byte> from, std::span<std::byte> to) {
  const std::size_t n = ZSTD_decompressDCtx(context_->zstd, to.data(), to.size(), from.data(), from.size());
  if (ZSTD_isError(n) != 0) bad_pages(fmt::format("zstd: {}", ZSTD_getErrorName(n)));
  if (n != to.size()) bad_pages("compressed pages of the wrong size");
}

}  // namespace crx::wire
