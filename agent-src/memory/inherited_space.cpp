// Address spaces that came out of a fork.
#include <algorithm>

#include "agent-src/memory/shared_frames.hpp"
#include "agent-src/memory/space_rounds.hpp"
#include "common/base/log.hpp"

namespace crx {
namespace {

// Where a vessel that is forked keeps the pages it has, and both sides can tell which. (The number of a memfd's entry
// is each task's own.)
bool can_be_inherited(const MemoryVma& vma) {
  return vma.kind == VmaKind::private_anon ||
         (vma.kind == VmaKind::private_file && !vma.huge && vma.dev != shmem_device());
}

bool same_kernel_mappings(const std::vector<MemoryVma>& a, const std::vector<MemoryVma>& b) {
  const auto special = [](const MemoryVma& vma) { return vma.kind == VmaKind::special; };
  return ranges_where(a, special) == ranges_where(b, special);
}

}  // namespace

// What the destination has of the donor's memory and keeps when it follows our layout from there.
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

// Both run. In this order (armed before: ours and the donor's, the donor's pages have been read and sent):
// 1. frames are compared: where they are the same the content is, unless we have written it since, which the next scan
// finds;
// 2. the donor's marks are read: what it has not written since it was armed is what was sent of it.
// A tracker that compares content goes by what was sent of the donor: nothing has to be known of the time in between.
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
  log::debug("process {} shares {} of its {} pages with {}", pid_, total_pages(shared), total_pages(pending_),
             donor.pid_);
  pending_ = subtract(pending_, shared);
  owed_ = subtract(owed_, shared);
}

// Both are stopped: a frame that is the same is all there is to know. What is dirty is all that is present.
void SpaceRounds::inherit(const SpaceRounds& donor, FinalSpace& found) {
  const std::vector<PageRange> held = inherited(donor);
  sent_ = intersect(donor.sent_, ranges_where(vmas_, [](const MemoryVma& vma) { return is_private(vma.kind); }));
  found.holes = subtract(sent_, found.dirty);
  const std::vector<PageRange> shared =
      same_frames(tracker_->pagemap(), donor.tracker_->pagemap(), intersect(found.dirty, held));
  log::debug("process {} shares {} of its {} pages with {}", pid_, total_pages(shared), found.present_pages,
             donor.pid_);
  found.dirty = subtract(found.dirty, shared);
}

}  // namespace crx
