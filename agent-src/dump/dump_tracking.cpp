#include "agent-src/dump/dump_tracking.hpp"

#include <fmt/format.h>

#include "agent-src/collect/memory/aio_rings.hpp"
#include "agent-src/freeze/frozen_task.hpp"
#include "agent-src/freeze/tracking_start.hpp"
#include "agent-src/memory/comparing_trackers.hpp"
#include "agent-src/memory/content_scan.hpp"
#include "agent-src/memory/wp_async_tracker.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/proc/stat.hpp"
#include "common/proc/status.hpp"

namespace crx {
namespace {

proc::Stat stat_of(pid_t pid) {
  return proc::parse_stat(read_file(fmt::format("/proc/{}/stat", pid)));
}

// Returns the address of the page with the end of the stack, which exists for as long as the program runs.
uint64_t canary_of(pid_t pid) {
  return page_down(stat_of(pid).start_stack);
}

// Returns whether any mapping of the process is tracked for writes ("uw" in smaps), no matter by which process.
bool somebody_tracks(pid_t pid) {
  const std::string text = read_file(fmt::format("/proc/{}/smaps", pid), std::size_t{1} << 30);
  return text.find(" uw") != std::string::npos;
}

// Returns whether the page is in a registered mapping and counts as written.
bool is_written(const Pagemap& pagemap, uint64_t page) {
  Pagemap::Query query;
  query.required = page_is::kWritten | page_is::kWpAllowed | page_is::kPresent;
  std::vector<PageRegion> regions;
  return pagemap.scan({page, page + kPageSize}, query, regions) == ScanStatus::ok && !regions.empty();
}

}  // namespace

DumpTracking::DumpTracking(const DumpOptions& options, pid_t pid, CallSites& sites, KernelView& kernel,
                           const ParentSet* parent)
    : options_(options), pid_(pid) {
  if (!list_aio_rings(pid).empty()) {
    log::warn("process {}: what comes by asynchronous I/O (io_setup) leaves no marks in memory; its dumps are full",
              pid);
    tracker_ = std::make_unique<HashTracker>(pid);
    return;
  }
  kept_ = TrackingDaemon::ask(options.run_dir, pid);
  if (parent != nullptr) find_parent(*parent);
  if (options.track_mem) {
    begin_tracking(sites, kernel);
  } else if (parent_pages_ != nullptr) {
    tracker_ = std::make_unique<WpAsyncTracker>(pid, WriteProtectFd::take_over(duplicate(kept_->userfaultfd.get())));
  }
  if (tracker_ && parent_pages_ != nullptr && !canary_intact()) {
    log::warn("process {}: its pages were armed by somebody else since the parent set was made; this dump is full",
              pid);
    parent_pages_ = nullptr;
  }
  if (!tracker_) tracker_ = std::make_unique<HashTracker>(pid);
}

void DumpTracking::find_parent(const ParentSet& parent) {
  const auto full = [&](const char* why) { log::warn("process {}: {}; this dump is full", pid_, why); };
  if (parent.id.empty()) return full("the parent set was made by CRIU");
  if (parent.check_only) return full("the parent set has no pages");
  if (!kept_) return full("nothing has tracked its memory since the parent set was made (--track-mem)");
  if (kept_->set_id != parent.id) return full("its memory was tracked for another set than the parent");
  const auto pages = parent.pages.find({PageSpace::Kind::mm, static_cast<uint64_t>(pid_)});
  if (pages == parent.pages.end()) return full("the parent set does not have this process");
  parent_pages_ = &pages->second;
}

void DumpTracking::begin_tracking(CallSites& sites, KernelView& kernel) {
  const auto adopt = [&](WriteProtectFd fd) {
    tracker_ = std::make_unique<WpAsyncTracker>(pid_, WriteProtectFd::take_over(duplicate(fd.get())));
    ours_ = std::move(fd);
  };
  if (kept_) return adopt(WriteProtectFd::take_over(duplicate(kept_->userfaultfd.get())));
  if (!WriteProtectFd::supported()) {
    log::warn("this kernel cannot track writes; the next dump will be full (Linux 6.7 can)");
    return;
  }
  if (somebody_tracks(pid_)) {
    log::warn("process {}: somebody else tracks its memory; the next dump will be full", pid_);
    return;
  }
  const bool has_seccomp = proc::parse_status(read_file(fmt::format("/proc/{}/status", pid_))).seccomp != 0;
  try {
    TrackingStart start = start_tracking(pid_, sites.of(pid_), WriteProtectFd::create_flags(), has_seccomp,
                                         Deadline::in_ms(options_.freeze_timeout_ms), kernel);
    stop_us_ = start.stop_us;
    adopt(WriteProtectFd::adopt(std::move(start.userfaultfd)));
  } catch (const Error& error) {
    // This happens if the process has no free descriptor number, for instance.
    if (error.code() != ErrorCode::kernel) throw;
    log::warn("process {}: {}; the next dump will be full", pid_, error.what());
  }
}

bool DumpTracking::canary_intact() const {
  return kept_ && is_written(tracker_->pagemap(), kept_->canary);
}

void DumpTracking::split(SpacePages& pages, const std::vector<PageRange>& present,
                         const std::vector<PageRange>& dirty) const {
  if (parent_pages_ == nullptr) {
    pages.here = present;
    return;
  }
  pages.in_parent = intersect(subtract(present, dirty), *parent_pages_);
  pages.here = subtract(present, pages.in_parent);
}

SpacePages DumpTracking::frozen_pages(const std::vector<MemoryVma>& vmas) {
  FrozenPages frozen = frozen_private_pages(*tracker_, vmas);
  SpacePages pages;
  split(pages, frozen.present, frozen.dirty);
  pages.guards = std::move(frozen.guards);
  return pages;
}

// The tracking daemon of an earlier set is ended first: if crx-dump were killed in between, the next dump would take
// the new marks for those of the old set.
void DumpTracking::arm(const std::vector<MemoryVma>& vmas) {
  if (!ours_) return;
  TrackingDaemon::drop(options_.run_dir, pid_);
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
    TrackingDaemon::drop(options_.run_dir, pid_);
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
  tracking.pid = pid_;
  tracking.start_ticks = stat_of(pid_).starttime;
  tracking.set_id = set_id;
  tracking.canary = canary_of(pid_);
  const PageRange page{tracking.canary, tracking.canary + kPageSize};
  if (!ours_->unprotect(page) || !is_written(tracker_->pagemap(), tracking.canary)) {
    log::warn("process {}: its memory cannot be tracked on; the next dump will be full", pid_);
    return;
  }
  tracking.userfaultfd = duplicate(ours_->get());
  TrackingDaemon::start(options_.run_dir, tracking);
}

}  // namespace crx
