// Finding the pages that a process has written since they were looked at last.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "agent-src/memory/vma.hpp"
#include "common/kernel/memory/pagemap.hpp"
#include "common/kernel/memory/userfaultfd.hpp"

namespace crx {

enum class TrackerKind { automatic, wp_async, soft_dirty, hash };
// auto|wp-async|soft-dirty|hash; throws Error(refused) otherwise.
TrackerKind parse_tracker(std::string_view text);
std::string_view to_string(TrackerKind kind);

// The pages of one private mapping while the process is stopped; all lists ascending.
struct FrozenPages {
  std::vector<PageRange> present;  // have content of their own
  std::vector<PageRange> dirty;    // of those, written since the last scan (or never scanned)
  std::vector<PageRange> guards;   // MADV_GUARD_INSTALL: must be installed at the destination
};

// Tracks one address space. Single-threaded. Every call throws Error(victim_gone) once that address space has
// ended, also by exec (see mm_fate). Destroying it leaves nothing behind in the victim.
class Tracker {
 public:
  virtual ~Tracker() = default;
  virtual TrackerKind kind() const = 0;
  // Of the tracked address space.
  virtual const Pagemap& pagemap() const = 0;
  // Passes must be made while the victim is stopped.
  virtual bool needs_stop() const = 0;
  // Lists candidates only: the sender must compare content with what it sent last.
  virtual bool compares_content() const = 0;

  // A pass: begin_pass, then scans of the mappings in ascending order, then end_pass. Mappings may have changed
  // since they were read from /proc/PID/maps.
  virtual void begin_pass(std::span<const MemoryVma> vmas) = 0;
  // Appends the pages of a private mapping that have content and were written since the last pass; all of them
  // where the mapping was not tracked. From here on writes count for the next pass: read the pages after this.
  virtual void scan_private(const MemoryVma& vma, std::vector<PageRange>& dirty) = 0;
  // The same for a part (addresses) of a mapping of a shared object. Appends every page not known to be unwritten
  // through this mapping, absent ones too. False: cannot tell, compare the object's content.
  [[nodiscard]] virtual bool scan_shared(const MemoryVma& vma, PageRange part, std::vector<PageRange>& dirty) = 0;
  virtual void end_pass() = 0;

  // While the victim is stopped; changes no marks, so passes may follow.
  virtual void frozen_private(const MemoryVma& vma, FrozenPages& pages) const = 0;
  [[nodiscard]] virtual bool frozen_shared(const MemoryVma& vma, PageRange part,
                                           std::vector<PageRange>& dirty) const = 0;
};

// The best tracker of the wanted kind for pid (auto: wp-async, else soft-dirty, else hash).
// make_userfaultfd: creates a userfaultfd *in* the victim (flags WriteProtectFd::create_flags()) and returns our
// duplicate; called at most once, only for wp-async. Where auto finds it fails, the next kind is taken and why is
// logged; an explicit kind throws Error.
std::unique_ptr<Tracker> make_tracker(TrackerKind wanted, pid_t pid, const std::function<Fd()>& make_userfaultfd);

}  // namespace crx
