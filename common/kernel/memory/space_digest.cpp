#include "common/kernel/memory/space_digest.hpp"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <map>

#include "common/base/error.hpp"
#include "common/base/fd.hpp"
#include "common/kernel/memory/memory_reader.hpp"
#include "common/kernel/memory/pagemap.hpp"

namespace crx {
namespace {

constexpr uint64_t kChunk = uint64_t{1} << 20;

// The first word decides for most pages. The others are zero when their first byte is zero and they equal themselves
// shifted by one byte.
bool is_zero(std::span<const std::byte> page) {
  uint64_t first = 0;
  std::memcpy(&first, page.data(), sizeof first);
  return first == 0 && page[0] == std::byte{0} && std::memcmp(page.data(), page.data() + 1, page.size() - 1) == 0;
}

// Receives the counted pages in ascending order and builds the digest of each chunk and of the whole.
class Collector {
 public:
  void add(uint64_t addr, std::span<const std::byte> page) {
    const uint64_t chunk = addr / kChunk * kChunk;
    if (!words_.empty() && chunk != chunk_) close();
    chunk_ = chunk;
    words_.push_back(addr);
    words_.push_back(digest64(page));
    ++result_.present_pages;
  }
  SpaceDigest finish() {
    if (!words_.empty()) close();
    result_.digest = whole_.finish128();
    return std::move(result_);
  }

 private:
  void close() {
    result_.chunk_ranges.push_back({chunk_, chunk_ + kChunk});
    result_.chunk_digests.push_back(digest64(std::as_bytes(std::span(words_))));
    whole_.add(std::as_bytes(std::span(words_)));
    words_.clear();
  }
  uint64_t chunk_ = 0;
  std::vector<uint64_t> words_;  // address and digest of each counted page of the chunk
  Digester whole_;
  SpaceDigest result_;
};

// Calls what(addr, page) for every page of the ranges, which are read in pieces of one chunk.
template <typename Each>
void for_each_page(PageReader& reader, const std::vector<PageRange>& ranges, Each what) {
  std::vector<std::byte> buffer(kChunk);
  for (const PageRange& range : ranges) {
    for (uint64_t start = range.start; start < range.end; start += kChunk) {
      const PageRange part{start, std::min(start + kChunk, range.end)};
      const std::span<std::byte> bytes = std::span(buffer).first(part.bytes());
      std::vector<PageRange> failed;
      reader.read({&part, 1}, bytes, failed);
      if (!failed.empty()) {
        throw Error(ErrorCode::refused, "verifying memory", fmt::format("{:x} cannot be read", failed[0].start));
      }
      for (uint64_t at = 0; at < part.bytes(); at += kPageSize) what(start + at, bytes.subspan(at, kPageSize));
    }
  }
}

std::vector<PageRange> pages_to_read(const Pagemap& pagemap, const DigestRange& mapping) {
  Pagemap::Query query;
  query.anyof = page_is::kPresent | page_is::kSwapped;
  query.inverted = page_is::kGuard | page_is::kPfnZero | (mapping.file ? page_is::kFile : 0);
  query.required = query.inverted;
  std::vector<PageRegion> regions;
  if (pagemap.scan(mapping.range, query, regions) == ScanStatus::gone) {
    throw Error(ErrorCode::victim_gone, "verifying memory", "the process has ended").with_pid(pagemap.pid());
  }
  std::vector<PageRange> ranges;
  for (const PageRegion& region : regions) append_range(ranges, region.range);
  return ranges;
}

void add_file_mapping(pid_t pid, const DigestRange& mapping, const std::vector<PageRange>& pages, MemoryReader& memory,
                      Collector& collector) {
  if (pages.empty()) return;
  const Fd file =
      open_checked(fmt::format("/proc/{}/map_files/{:x}-{:x}", pid, mapping.range.start, mapping.range.end), O_RDONLY);
  FileReader reader(file.get());
  std::vector<std::byte> original(kPageSize);
  for_each_page(memory, pages, [&](uint64_t addr, std::span<const std::byte> page) {
    const uint64_t offset = addr - mapping.range.start + mapping.offset;
    const PageRange at{offset, offset + kPageSize};
    std::vector<PageRange> failed;
    reader.read({&at, 1}, original, failed);
    if (!failed.empty() || !std::equal(page.begin(), page.end(), original.begin())) collector.add(addr, page);
  });
}

}  // namespace

SpaceDigest digest_space(pid_t pid, const std::vector<DigestRange>& ranges) {
  const Pagemap pagemap = Pagemap::open(pid);
  MemoryReader memory(pid);
  Collector collector;
  for (const DigestRange& mapping : ranges) {
    const std::vector<PageRange> pages = pages_to_read(pagemap, mapping);
    if (mapping.file) {
      add_file_mapping(pid, mapping, pages, memory, collector);
      continue;
    }
    for_each_page(memory, pages, [&](uint64_t addr, std::span<const std::byte> page) {
      if (!is_zero(page)) collector.add(addr, page);
    });
  }
  return collector.finish();
}

SpaceDigest digest_object(int fd) {
  Collector collector;
  FileReader reader(fd);
  for (off_t at = 0;;) {
    const off_t data = ::lseek(fd, at, SEEK_DATA);
    if (data < 0 && errno != ENXIO) throw_errno("verifying shared memory", "SEEK_DATA");
    if (data < 0) return collector.finish();
    at = ::lseek(fd, data, SEEK_HOLE);
    if (at < 0) throw_errno("verifying shared memory", "SEEK_HOLE");
    const PageRange extent{page_down(static_cast<uint64_t>(data)), page_up(static_cast<uint64_t>(at))};
    for_each_page(reader, {extent}, [&](uint64_t offset, std::span<const std::byte> page) {
      if (!is_zero(page)) collector.add(offset, page);
    });
  }
}

std::vector<PageRange> differing_chunks(const SpaceDigest& a, const SpaceDigest& b) {
  std::map<uint64_t, uint64_t> left;
  for (std::size_t i = 0; i < a.chunk_ranges.size(); ++i) left[a.chunk_ranges[i].start] = a.chunk_digests[i];
  std::vector<PageRange> different;
  for (std::size_t i = 0; i < b.chunk_ranges.size(); ++i) {
    const auto found = left.find(b.chunk_ranges[i].start);
    const bool same = found != left.end() && found->second == b.chunk_digests[i];
    if (found != left.end()) left.erase(found);
    if (!same) different.push_back(b.chunk_ranges[i]);
  }
  for (const auto& [start, digest] : left) different.push_back({start, start + kChunk});
  std::sort(different.begin(), different.end(), [](PageRange x, PageRange y) { return x.start < y.start; });
  return different;
}

}  // namespace crx
