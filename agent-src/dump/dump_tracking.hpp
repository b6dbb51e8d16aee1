// Incremental dumps: what of a process's private memory a set must hold, and what its parent has already.
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

// Private memory of one address space, as one set sees it. Lists are ascending; here and in_parent are disjoint.
struct SpacePages {
  std::vector<PageRange> here;       // to be written
  std::vector<PageRange> in_parent;  // unchanged since the parent set was made, and present there
  std::vector<PageRange> guards;
};

// Over one dump, of one process of the tree. A page is left to the parent only if it carries a mark that was set when
// the parent was made and that nobody can have set since, and if the parent has it; in all other cases it is written.
// Single-threaded.
class DumpTracking {
 public:
  // Before the stop. Finds the keeper; says on the log why the process is dumped in full. parent: nullptr for none.
  DumpTracking(const DumpOptions& options, pid_t pid, CallSites& sites, KernelView& kernel, const ParentSet* parent);

  // While the process is stopped: changes no marks.
  SpacePages frozen_pages(const std::vector<MemoryVma>& vmas);
  // From here on writes count for the next set. Read the pages afterwards (running), or before (stopped).
  void arm(const std::vector<MemoryVma>& vmas);
  // While it runs, instead of both: arms, and lists what the set must hold.
  SpacePages running_pages(const std::vector<MemoryVma>& vmas);
  // Leaves the tracking to a keeper, for the set of this name. No effect where there is no tracking.
  void keep(const std::string& set_id);
  // How long the process was stopped for the tracking.
  int64_t stop_us() const noexcept { return stop_us_; }

 private:
  void find_parent(const ParentSet& parent);
  void begin_tracking(CallSites& sites, KernelView& kernel);
  bool canary_intact() const;
  void split(SpacePages& pages, const std::vector<PageRange>& present, const std::vector<PageRange>& dirty) const;

  const DumpOptions& options_;
  pid_t pid_;
  const std::vector<PageRange>* parent_pages_ = nullptr;  // nullptr: nothing is left to a parent
  std::optional<KeptTracking> kept_;
  std::unique_ptr<Tracker> tracker_;
  std::optional<WriteProtectFd> ours_;  // a duplicate, for the keeper and the canary
  bool armed_ = false;
  int64_t stop_us_ = 0;
};

}  // namespace crx
