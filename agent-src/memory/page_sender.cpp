#include "agent-src/memory/page_sender.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "agent-src/memory/content_scan.hpp"
#include "common/base/error.hpp"
#include "common/base/scope_exit.hpp"

namespace crx {
namespace {

// Moves the pages that were read and have changed to the buffer's start; returns their ranges.
std::vector<PageRange> compact(const std::vector<PageRange>& batch, const std::vector<PageRange>& failed,
                               std::span<std::byte> bytes, PageHashes* hashes, SendOutcome& outcome) {
  std::vector<PageRange> kept;
  auto bad = failed.begin();
  std::size_t from = 0;
  std::size_t to = 0;
  for (const PageRange& range : batch) {
    for (uint64_t addr = range.start; addr < range.end; addr += kPageSize, from += kPageSize) {
      while (bad != failed.end() && bad->end <= addr) ++bad;
      if (bad != failed.end() && bad->start <= addr) continue;
      if (hashes != nullptr && !hashes->update(addr, bytes.subspan(from, kPageSize))) {
        ++outcome.unchanged_pages;
        continue;
      }
      if (to != from) std::memmove(bytes.data() + to, bytes.data() + from, kPageSize);
      to += kPageSize;
      append_range(kept, {addr, addr + kPageSize});
    }
  }
  return kept;
}

}  // namespace

void require_all_read(const SendOutcome& outcome, const MemoryReader& reader) {
  if (outcome.failed.empty()) return;
  constexpr char kStep[] = "reading memory";
  if (reader.ended()) throw_mm_gone(reader.pid(), kStep);
  throw Error(ErrorCode::refused, kStep,
              fmt::format("the page at {:x} and {} more cannot be read", outcome.failed.front().start,
                          total_pages(outcome.failed) - 1))
      .with_pid(reader.pid())
      .with_hint("memory with hardware errors, or of a device, can be neither moved nor dumped");
}

SendOutcome send_pages(PageSpace space, const std::vector<PageRange>& ranges, PageReader& reader, PageSink& sink,
                       PageHashes* hashes) {
  SendOutcome outcome;
  // If the sink throws, it is unknown which pages arrived, so no digest of them may stay recorded.
  ScopeExit forget_all([&] {
    if (hashes == nullptr) return;
    for (const PageRange& range : ranges) hashes->forget(range);
  });
  std::size_t next = 0;
  uint64_t inside = 0;  // bytes of ranges[next] that are already taken
  while (next < ranges.size()) {
    const std::span<std::byte> buffer = sink.acquire();
    std::vector<PageRange> batch;
    uint64_t room = page_down(buffer.size());
    while (next < ranges.size() && room > 0) {
      const uint64_t start = ranges[next].start + inside;
      const uint64_t bytes = std::min(room, ranges[next].end - start);
      batch.push_back({start, start + bytes});
      room -= bytes;
      inside += bytes;
      if (ranges[next].start + inside == ranges[next].end) {
        ++next;
        inside = 0;
      }
    }
    const std::span<std::byte> filled = buffer.first(page_down(buffer.size()) - room);
    std::vector<PageRange> failed;
    reader.read(batch, filled, failed);
    const uint64_t wanted = total_pages(batch);
    if (hashes != nullptr || !failed.empty()) batch = compact(batch, failed, filled, hashes, outcome);
    for (const PageRange& range : failed) append_range(outcome.failed, range);
    const uint64_t pages = total_pages(batch);
    if (pages < wanted) sink.skip(wanted - pages);
    if (pages == 0) continue;
    sink.put(space, std::move(batch));
    outcome.put_pages += pages;
  }
  forget_all.release();
  return outcome;
}

}  // namespace crx
