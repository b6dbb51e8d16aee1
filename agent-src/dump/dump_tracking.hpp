// Decides for an incremental dump which pages of a process's private memory the set must hold, and which its parent
// has.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent-src/dump/dump_options.hpp"
#include "agent-src/dump/dump_store.hpp"
#include "agent-src/dump/tracking_daemon.hpp"
#include "agent-src/freeze/call_site.hpp"
#include "agent-src/memory/tracker.hpp"
#include "agent-src/memory/vma.hpp"
#include "common/base/page.hpp"
#include "common/kernel/introspect/kernel_view.hpp"
#include "common/kernel/memory/userfaultfd.hpp"

namespace crx {

// The private memory of one address space, as one set sees it. The lists are ascending; here and in_parent are
// disjoint.
struct SpacePages {
  std::vector<PageRange> here;       // pages to be written
  std::vector<PageRange> in_parent;  // pages that are unchanged since the parent set was made, and present there
  std::vector<PageRange> guards;
};

// The tracking of one process of the tree during one dump. A page is left to the parent only if the parent has it, and
// if the page carries a mark that was set when the parent was made and that no other process can have set since; every
// other page is written. Single-threaded.
class DumpTracking {
 public:
  // To be called before the stop; asks the tracking daemon of the process for its marks. With track_mem and no daemon
  // it starts tracking, for which the process is stopped for a moment; it runs on afterwards. Logs the reason if the
  // process is dumped in full. parent: nullptr for none. The references and the parent must outlive the object. Throws
  // Error if the process has ended or cannot be stopped.
  DumpTracking(const DumpOptions& options, pid_t pid, CallSites& sites, KernelView& kernel, const ParentSet* parent);

  // Lists the pages of the stopped process. Changes no marks.
  SpacePages frozen_pages(const std::vector<MemoryVma>& vmas);
  // Arms all pages: writes from here on count for the next set. The pages of a running process must be read afterwards,
  // those of a stopped process before.
  void arm(const std::vector<MemoryVma>& vmas);
  // Replaces both for a running process: arms its pages, and lists those that the set must hold.
  SpacePages running_pages(const std::vector<MemoryVma>& vmas);
  // Leaves the tracking to a daemon, for the set of this name. Has no effect if the process is not tracked. Throws
  // Error if the daemon cannot be started.
  void keep(const std::string& set_id);
  // Returns for how many microseconds the process was stopped to start tracking.
  int64_t stop_us() const noexcept { return stop_us_; }

 private:
  void find_parent(const ParentSet& parent);
  void begin_tracking(CallSites& sites, KernelView& kernel);
  bool canary_intact() const;
  void split(SpacePages& pages, const std::vector<PageRange>& present, const std::vector<PageRange>& dirty) const;

  const DumpOptions& options_;
  pid_t pid_;
  const std::vector<PageRange>* parent_pages_ = nullptr;  // nullptr: no page is left to a parent
  std::optional<KeptTracking> kept_;
  std::unique_ptr<Tracker> tracker_;
  std::optional<WriteProtectFd> ours_;  // a duplicate, for the daemon and the canary
  bool armed_ = false;
  int64_t stop_us_ = 0;
};

}  // namespace crx
