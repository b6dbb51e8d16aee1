// SpaceRounds for address spaces that a fork has made: pages that the donor's vessel already holds are not sent again.
#include <algorithm>

#include "agent-src/memory/shared_frames.hpp"
#include "agent-src/memory/space_rounds.hpp"
#include "common/base/log.hpp"

namespace crx {
namespace {

// Whether a forked vessel keeps the pages of this mapping, and both hosts can tell which ones. (A private mapping of a
// memfd is left out: its file's id in the images differs from task to task.)
bool can_be_inherited(const MemoryVma& vma) {
  return vma.kind == VmaKind::private_anon ||
         (vma.kind == VmaKind::private_file && !vma.huge && vma.dev != shmem_device());
}

bool same_kernel_mappings(const std::vector<MemoryVma>& a, const std::vector<MemoryVma>& b) {
  const auto special = [](const MemoryVma& vma) { return vma.kind == VmaKind::special; };
  return ranges_where(a, special) == ranges_where(b, special);
}

}  // namespace

// Returns the ranges that the destination holds of the donor's memory and keeps when the forked vessel follows our
// layout.
std::vector<PageRange> SpaceRounds::inherited(const SpaceRounds& donor) const {
  const std::vector<PageRange> kept =
      subtract(ranges_where(vmas_, can_be_inherited), changed_ranges(donor.vmas_, vmas_));
  return subtract(intersect(donor.sent_, kept), donor.owed_);
}

uint64_t SpaceRounds::shared_with(const SpaceRounds& donor) const {
  if (!same_kernel_mappings(vmas_, donor.vmas_)) return 0;
  const std::vector<PageRange> kept =
      subtract(ranges_where(vmas_, can_be_inherited), changed_ranges(donor.vmas_, vmas_));
  return estimate_same_frames(tracker_->pagemap(), donor.tracker_->pagemap(), intersect(pending_, kept));
}

// Both processes run, both are write-protected, and the donor's pages have been read and sent. The order matters:
// 1. Frames are compared. Where they are the same the content is the same, unless this process has written the page
//    since; the next scan finds that.
// 2. The donor's marks are read. A page that the donor has not written since it was protected still has the content
//    that was sent.
// A tracker that compares content takes over the donor's digests and needs neither step.
void SpaceRounds::inherit(const SpaceRounds& donor) {
  const std::vector<PageRange> held = inherited(donor);
  sent_ = intersect(donor.sent_, ranges_where(vmas_, [](const MemoryVma& vma) { return is_private(vma.kind); }));
  if (tracker_->compares_content() && donor.tracker_->compares_content()) {
    hashes_.take(donor.hashes_, held);
    return;
  }
  if (tracker_->kind() != TrackerKind::wp_async || donor.tracker_->kind() != TrackerKind::wp_async) return;
  std::vector<PageRange> shared =
      same_frames(tracker_->pagemap(), donor.tracker_->pagemap(), intersect(pending_, held));
  shared = still_armed(donor.tracker_->pagemap(), shared);
  log::debug("process {}: {} of {} written pages are shared with process {} and not sent again", pid_,
             total_pages(shared), total_pages(pending_), donor.pid_);
  pending_ = subtract(pending_, shared);
  owed_ = subtract(owed_, shared);
}

// Both processes are stopped, so an equal frame proves equal content. Everything that is present counts as dirty here.
void SpaceRounds::inherit(const SpaceRounds& donor, FinalSpace& found) {
  const std::vector<PageRange> held = inherited(donor);
  sent_ = intersect(donor.sent_, ranges_where(vmas_, [](const MemoryVma& vma) { return is_private(vma.kind); }));
  found.holes = subtract(sent_, found.dirty);
  const std::vector<PageRange> shared =
      same_frames(tracker_->pagemap(), donor.tracker_->pagemap(), intersect(found.dirty, held));
  log::debug("process {}: {} of {} pages are shared with process {} and not sent again", pid_, total_pages(shared),
             found.present_pages, donor.pid_);
  found.dirty = subtract(found.dirty, shared);
}

}  // namespace crx
