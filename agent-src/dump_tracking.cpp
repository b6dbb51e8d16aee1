#include "agent-src/dump_tracking.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include "agent-src/memory/comparing_trackers.hpp"
#include "agent-src/memory/content_scan.hpp"
#include "agent-src/memory/wp_async_tracker.hpp"
#include "agent-src/tracking_start.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/image/page_images.hpp"
#include "common/proc/stat.hpp"

namespace crx {
namespace {

proc::Stat stat_of(pid_t pid) { return proc::parse_stat(read_file(fmt::format("/proc/{}/stat", pid))); }

// The page with the end of the stack: there for as long as the program runs.
uint64_t canary_of(pid_t pid) { return page_down(stat_of(pid).start_stack); }

// Whether some mapping is tracked for writes ("uw" of smaps), by whomever.
bool somebody_tracks(pid_t pid) {
  const std::string text = read_file(fmt::format("/proc/{}/smaps", pid), std::size_t{1} << 30);
  return text.find(" uw") != std::string::npos;
}

// A page that is marked written in a mapping that is registered.
bool is_written(const Pagemap& pagemap, uint64_t page) {
  Pagemap::Query query;
  query.required = page_is::kWritten | page_is::kWpAllowed | page_is::kPresent;
  std::vector<PageRegion> regions;
  return pagemap.scan({page, page + kPageSize}, query, regions) == ScanStatus::ok && !regions.empty();
}

}  // namespace

DumpTracking::DumpTracking(const DumpOptions& options, const CallSite& site, bool has_seccomp) : options_(options) {
  kept_ = Keeper::ask(options.run_dir, options.pid);
  if (!options.prev_images_dir.empty()) find_parent();
  if (options.track_mem) {
    begin_tracking(site, has_seccomp);
  } else if (!parent_id_.empty()) {
    tracker_ = std::make_unique<WpAsyncTracker>(options.pid, WriteProtectFd::take_over(duplicate(kept_->userfaultfd.get())));
  }
  if (tracker_ && !parent_id_.empty() && !canary_sings()) {
    log::warn("process {}: its pages were armed by somebody else since the parent set was made; this dump is full", options.pid);
    parent_id_.clear();
  }
  if (!tracker_) tracker_ = std::make_unique<HashTracker>(options.pid);
}

void DumpTracking::find_parent() {
  const std::string path = options_.images_dir + "/" + options_.prev_images_dir;
  struct stat its {};
  struct stat own {};
  if (::stat(path.c_str(), &its) == 0 && ::stat(options_.images_dir.c_str(), &own) == 0 && its.st_dev == own.st_dev &&
      its.st_ino == own.st_ino) {
    throw Error(ErrorCode::refused, "looking for the parent set", path + " is the directory of the new set itself");
  }
  const ImageSet parent = ImageSet::open(path);
  const auto full = [&](const std::string& why) { log::warn("process {}: {}; this dump is full", options_.pid, why); };
  if (parent.manifest() == nullptr) return full("the parent set was made by CRIU");
  if (parent.manifest()->head().kind() == img::crx_manifest_entry::CHECK_ONLY) return full("the parent set has no pages");
  if (!kept_) return full("nothing has tracked its memory since the parent set was made (--track-mem)");
  if (kept_->set_id != parent.manifest()->head().set_id()) return full("its memory was tracked for another set than the parent");
  const PageSpace space{PageSpace::Kind::mm, static_cast<uint64_t>(options_.pid)};
  if (!parent.images().contains(pagemap_name(space))) return full("the parent set is of another process");
  for (const PagePiece& piece : parent.pages(space)) append_range(parent_pages_, piece.range);
  parent_id_ = kept_->set_id;
}

void DumpTracking::begin_tracking(const CallSite& site, bool has_seccomp) {
  const auto adopt = [&](WriteProtectFd fd) {
    tracker_ = std::make_unique<WpAsyncTracker>(options_.pid, WriteProtectFd::take_over(duplicate(fd.get())));
    ours_ = std::move(fd);
  };
  if (kept_) return adopt(WriteProtectFd::take_over(duplicate(kept_->userfaultfd.get())));
  if (!WriteProtectFd::supported()) {
    log::warn("this kernel cannot track writes; the next dump will be full (Linux 6.7 can)");
    return;
  }
  if (somebody_tracks(options_.pid)) {
    log::warn("process {}: somebody else tracks its memory; the next dump will be full", options_.pid);
    return;
  }
  TrackingStart start = start_tracking(options_.pid, site, WriteProtectFd::create_flags(), has_seccomp,
                                       Deadline::in_ms(options_.freeze_timeout_ms));
  stop_us_ = start.stop_us;
  adopt(WriteProtectFd::adopt(std::move(start.userfaultfd)));
}

bool DumpTracking::canary_sings() const { return kept_ && is_written(tracker_->pagemap(), kept_->canary); }

void DumpTracking::split(SpacePages& pages, const std::vector<PageRange>& present, const std::vector<PageRange>& dirty) const {
  if (parent_id_.empty()) {
    pages.here = present;
    return;
  }
  pages.in_parent = intersect(subtract(present, dirty), parent_pages_);
  pages.here = subtract(present, pages.in_parent);
}

SpacePages DumpTracking::frozen_pages(const std::vector<MemoryVma>& vmas) {
  FrozenPages frozen;
  for (const MemoryVma& vma : vmas) {
    if (is_private(vma.kind)) tracker_->frozen_private(vma, frozen);
  }
  SpacePages pages;
  split(pages, frozen.present, frozen.dirty);
  pages.guards = std::move(frozen.guards);
  return pages;
}

// A keeper of an earlier set goes first: were we killed in between, nobody would take the new marks for the old set's.
void DumpTracking::arm(const std::vector<MemoryVma>& vmas) {
  if (!ours_) return;
  Keeper::drop(options_.run_dir, options_.pid);
  std::vector<PageRange> ignored;
  tracker_->begin_pass(vmas);
  for (const MemoryVma& vma : vmas) {
    if (is_private(vma.kind)) tracker_->scan_private(vma, ignored);
  }
  tracker_->end_pass();
  armed_ = true;
}

SpacePages DumpTracking::running_pages(const std::vector<MemoryVma>& vmas) {
  SpacePages pages;
  std::vector<PageRange> dirty;
  if (ours_) {
    Keeper::drop(options_.run_dir, options_.pid);
    tracker_->begin_pass(vmas);
    for (const MemoryVma& vma : vmas) {
      if (is_private(vma.kind)) tracker_->scan_private(vma, dirty);
    }
    tracker_->end_pass();
    armed_ = true;
  }
  std::vector<PageRange> present;
  for (const MemoryVma& vma : vmas) {
    if (is_private(vma.kind)) list_content(tracker_->pagemap(), vma, present);
  }
  split(pages, present, dirty);
  return pages;
}

void DumpTracking::keep(const std::string& set_id) {
  if (!ours_ || !armed_) return;
  KeptTracking tracking;
  tracking.pid = options_.pid;
  tracking.start_ticks = stat_of(options_.pid).starttime;
  tracking.set_id = set_id;
  tracking.canary = canary_of(options_.pid);
  const PageRange page{tracking.canary, tracking.canary + kPageSize};
  if (!ours_->unprotect(page) || !is_written(tracker_->pagemap(), tracking.canary)) {
    log::warn("process {}: its memory cannot be tracked on; the next dump will be full", options_.pid);
    return;
  }
  tracking.userfaultfd = duplicate(ours_->get());
  Keeper::start(options_.run_dir, tracking);
}

}  // namespace crx
