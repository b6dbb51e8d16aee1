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
    // What comes by asynchronous I/O leaves no marks: such a process has a tracker that compares.
    if (vma.kind == VmaKind::aio_ring && !tracker_->compares_content()) {
      throw Error(ErrorCode::refused, "tracking memory",
                  "the process has set up asynchronous I/O (io_setup) since the move began")
          .with_pid(pid_)
          .with_hint("try again: its memory is compared by content then");
    }
    // Preflight refuses these by name; this one was mapped since.
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
  // What is unmapped here is unmapped there.
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
  // Re-armed but not sent yet: whatever happens from here on, these pages have to go out once.
  owed_ = pending_;
  statistics.dirty_pages += total_pages(pending_);
  statistics.scan_us += monotonic_us() - start_us;
}

void SpaceRounds::send_round(PageSink& sink, MemoryStatistics& statistics) {
  const int64_t start_us = monotonic_us();
  // Also when the sink throws half-way: better a hole too many at the end than one too few.
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
  FrozenPages frozen;
  for (const MemoryVma& vma : vmas) {
    if (!is_private(vma.kind)) continue;
    statistics.scanned_bytes += vma.range.bytes();
    tracker_->frozen_private(vma, frozen);
  }
  FinalSpace found;
  found.pid = pid_;
  // Never sent, or owed: must go, whatever the marks say.
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
  // Nothing recorded: everything is new, and is not worth hashing now.
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
