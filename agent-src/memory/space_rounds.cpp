#include "agent-src/memory/space_rounds.hpp"

#include <fmt/format.h>

#include "common/base/clock.hpp"
#include "common/base/error.hpp"

namespace crx {
namespace {

std::vector<PageRange> private_ranges(const std::vector<MemoryVma>& vmas) {
  return ranges_where(vmas, [](const MemoryVma& vma) { return is_private(vma.kind); });
}

}  // namespace

MemoryStatistics& MemoryStatistics::operator+=(const MemoryStatistics& other) {
  scanned_bytes += other.scanned_bytes;
  dirty_pages += other.dirty_pages;
  sent_pages += other.sent_pages;
  unchanged_pages += other.unchanged_pages;
  owed_pages += other.owed_pages;
  hole_pages += other.hole_pages;
  scan_us += other.scan_us;
  send_us += other.send_us;
  return *this;
}

SpaceRounds::SpaceRounds(pid_t pid, std::unique_ptr<Tracker> tracker)
    : pid_(pid), tracker_(std::move(tracker)), reader_(pid) {}

void SpaceRounds::forget(PageRange range) {
  sent_ = subtract(sent_, {range});
  hashes_.forget(range);
  owed_ = unite(owed_, {range});
}

void SpaceRounds::follow_layout(const std::vector<MemoryVma>& vmas) {
  for (const MemoryVma& vma : vmas) {
    // Asynchronous I/O writes pages without leaving a mark, so such a process needs a tracker that compares content.
    if (vma.kind == VmaKind::aio_ring && !tracker_->compares_content()) {
      throw Error(ErrorCode::refused, "tracking memory",
                  "the process has set up asynchronous I/O (io_setup) since the move began")
          .with_pid(pid_)
          .with_hint("try again: its memory is compared by content then");
    }
    // Preflight refuses these mappings by name; this one has been mapped since.
    if (vma.kind != VmaKind::device && vma.kind != VmaKind::hugetlb) continue;
    throw Error(ErrorCode::refused, "tracking memory",
                fmt::format("the mapping of {} at {:x} cannot be moved", vma.name, vma.range.start))
        .with_pid(pid_);
  }
  for (const PageRange& range : changed_ranges(vmas_, vmas)) {
    const std::vector<PageRange> lost = intersect(sent_, {range});
    if (lost.empty()) continue;
    hashes_.forget(range);
    sent_ = subtract(sent_, lost);
    owed_ = unite(owed_, lost);
  }
  // The destination unmaps the same ranges.
  const std::vector<PageRange> mapped = private_ranges(vmas);
  for (const PageRange& range : subtract(sent_, mapped)) hashes_.forget(range);
  sent_ = intersect(sent_, mapped);
  owed_ = intersect(owed_, mapped);
  vmas_ = vmas;
}

void SpaceRounds::begin_round(const std::vector<MemoryVma>& vmas, MemoryStatistics& statistics) {
  const int64_t start_us = monotonic_us();
  follow_layout(vmas);
  std::vector<PageRange> dirty;
  tracker_->begin_pass(vmas);
  for (const MemoryVma& vma : vmas) {
    if (!is_private(vma.kind)) continue;
    statistics.scanned_bytes += vma.range.bytes();
    tracker_->scan_private(vma, dirty);
  }
  tracker_->end_pass();
  pending_ = unite(dirty, owed_);
  // These pages are protected again but not sent yet: until they are, they must be sent whatever the marks say.
  owed_ = pending_;
  statistics.dirty_pages += total_pages(pending_);
  statistics.scan_us += monotonic_us() - start_us;
}

void SpaceRounds::send_round(PageSink& sink, MemoryStatistics& statistics) {
  const int64_t start_us = monotonic_us();
  // Also if the sink throws half-way: one hole too many at the end does no harm, a missing one does.
  sent_ = unite(sent_, pending_);
  SendOutcome outcome =
      send_pages({PageSpace::Kind::mm, static_cast<uint64_t>(pid_)}, pending_, reader_, sink, hashes());
  statistics.sent_pages += outcome.put_pages;
  statistics.unchanged_pages += outcome.unchanged_pages;
  statistics.owed_pages += total_pages(outcome.failed);
  owed_ = std::move(outcome.failed);
  pending_.clear();
  statistics.send_us += monotonic_us() - start_us;
}

FinalSpace SpaceRounds::final_scan(const std::vector<MemoryVma>& vmas, MemoryStatistics& statistics) {
  const int64_t start_us = monotonic_us();
  follow_layout(vmas);
  FrozenPages frozen = frozen_private_pages(*tracker_, vmas, &statistics.scanned_bytes);
  FinalSpace found;
  found.pid = pid_;
  // Pages that were never sent, or are owed, must be sent whatever the marks say.
  const std::vector<PageRange> missing = unite(subtract(frozen.present, sent_), intersect(owed_, frozen.present));
  found.dirty = unite(frozen.dirty, missing);
  found.holes = subtract(sent_, frozen.present);
  found.guards = std::move(frozen.guards);
  found.present_pages = total_pages(frozen.present);
  pending_ = found.dirty;
  statistics.dirty_pages += total_pages(found.dirty);
  statistics.hole_pages += total_pages(found.holes);
  statistics.scan_us += monotonic_us() - start_us;
  return found;
}

void SpaceRounds::send_final(const FinalSpace& final_space, PageSink& sink, MemoryStatistics& statistics) {
  const int64_t start_us = monotonic_us();
  owed_ = unite(owed_, final_space.dirty);
  sent_ = unite(sent_, final_space.dirty);
  // If no digest is recorded, all pages are new and hashing them now would gain nothing.
  const SendOutcome outcome = send_pages({PageSpace::Kind::mm, static_cast<uint64_t>(pid_)}, final_space.dirty, reader_,
                                         sink, hashes_.empty() ? nullptr : hashes());
  require_all_read(outcome, reader_);
  owed_ = subtract(owed_, final_space.dirty);
  // The vessel drops the holes.
  sent_ = subtract(sent_, final_space.holes);
  for (const PageRange& range : final_space.holes) hashes_.forget(range);
  statistics.sent_pages += outcome.put_pages;
  statistics.unchanged_pages += outcome.unchanged_pages;
  statistics.send_us += monotonic_us() - start_us;
}

}  // namespace crx
