#include "agent-src/memory/tracker.hpp"

#include "agent-src/memory/comparing_trackers.hpp"
#include "agent-src/memory/wp_async_tracker.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"

namespace crx {

std::string_view to_string(TrackerKind kind) {
  switch (kind) {
    case TrackerKind::automatic:
      return "auto";
    case TrackerKind::wp_async:
      return "wp-async";
    case TrackerKind::soft_dirty:
      return "soft-dirty";
    case TrackerKind::hash:
      return "hash";
  }
  return "auto";
}

FrozenPages frozen_private_pages(const Tracker& tracker, std::span<const MemoryVma> vmas, uint64_t* scanned_bytes) {
  FrozenPages pages;
  for (const MemoryVma& vma : vmas) {
    if (!is_private(vma.kind)) continue;
    if (scanned_bytes != nullptr) *scanned_bytes += vma.range.bytes();
    tracker.frozen_private(vma, pages);
  }
  return pages;
}

TrackerKind choose_tracker(TrackerKind wanted) {
  if (wanted != TrackerKind::automatic) return wanted;
  if (WriteProtectFd::supported()) return TrackerKind::wp_async;
  return Pagemap::features().soft_dirty ? TrackerKind::soft_dirty : TrackerKind::hash;
}

std::unique_ptr<Tracker> make_tracker(TrackerKind wanted, pid_t pid, const std::function<Fd()>& make_userfaultfd) {
  const bool any = wanted == TrackerKind::automatic;
  if (wanted == TrackerKind::wp_async || (any && WriteProtectFd::supported())) {
    try {
      return std::make_unique<WpAsyncTracker>(pid, WriteProtectFd::adopt(make_userfaultfd()));
    } catch (const Error& error) {
      // With the automatic choice the victim may forbid it (a seccomp filter, for example); tracking by content still
      // works.
      if (!any || error.code() == ErrorCode::victim_gone) throw;
      log::warn("cannot track writes by write protection, using another method: {}", error.what());
    }
  }
  if (wanted == TrackerKind::soft_dirty && !Pagemap::features().soft_dirty) {
    throw Error(ErrorCode::unsupported, "choosing the tracker", "this kernel keeps no soft-dirty bits")
        .with_hint("use --tracker auto");
  }
  if (wanted == TrackerKind::soft_dirty || (any && Pagemap::features().soft_dirty)) {
    return std::make_unique<SoftDirtyTracker>(pid);
  }
  return std::make_unique<HashTracker>(pid);
}

}  // namespace crx
