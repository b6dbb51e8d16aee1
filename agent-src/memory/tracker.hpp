// Finds the pages that a process has written since the last look.
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
// "auto", "wp-async", "soft-dirty" or "hash", as in --tracker.
std::string_view to_string(TrackerKind kind);

// The pages of private mappings while the process is stopped; all lists are ascending.
struct FrozenPages {
  std::vector<PageRange> present;  // pages with content of their own
  std::vector<PageRange> dirty;    // those of them written since the last scan (or never scanned)
  std::vector<PageRange> guards;   // MADV_GUARD_INSTALL: the destination must install them, too
};

// Tracks one address space. Single-threaded. Every call throws Error(victim_gone) once that address space has ended,
// also when it was replaced by execve (see mm_fate). The destructor leaves nothing behind in the victim.
class Tracker {
 public:
  virtual ~Tracker() = default;
  virtual TrackerKind kind() const = 0;
  // The pagemap of the tracked address space.
  virtual const Pagemap& pagemap() const = 0;
  // Whether the victim must be stopped during a pass.
  virtual bool needs_stop() const = 0;
  // Whether the lists hold candidates only, so that the sender must compare content with what it sent last.
  virtual bool compares_content() const = 0;

  // A pass is begin_pass, then scans of the mappings in ascending order, then end_pass. The mappings may have changed
  // since they were read from /proc/PID/maps.
  virtual void begin_pass(std::span<const MemoryVma> vmas) = 0;
  // Appends the pages of a private mapping that have content and were written since the last pass; all pages with
  // content if the mapping was not tracked. Writes after this call count for the next pass, so read the pages after it.
  virtual void scan_private(const MemoryVma& vma, std::vector<PageRange>& dirty) = 0;
  // The same for a part (addresses) of a mapping of a shared object. Appends every page that is not known to be
  // unwritten through this mapping, absent ones too. Returns false if this cannot be told: compare the object's content
  // then.
  [[nodiscard]] virtual bool scan_shared(const MemoryVma& vma, PageRange part, std::vector<PageRange>& dirty) = 0;
  virtual void end_pass() = 0;

  // The same questions while the victim is stopped. They change no marks, so passes may follow.
  virtual void frozen_private(const MemoryVma& vma, FrozenPages& pages) const = 0;
  [[nodiscard]] virtual bool frozen_shared(const MemoryVma& vma, PageRange part,
                                           std::vector<PageRange>& dirty) const = 0;
};

// Tracker::frozen_private of all private mappings among `vmas`, which are ascending: the private memory of a stopped
// process. Adds the bytes of these mappings to `scanned_bytes` where that is not nullptr.
FrozenPages frozen_private_pages(const Tracker& tracker, std::span<const MemoryVma> vmas,
                                 uint64_t* scanned_bytes = nullptr);

// The kind that `wanted` comes to on this kernel (automatic: wp-async, else soft-dirty, else hash). A single process
// may need another one than automatic finds here, see make_tracker.
TrackerKind choose_tracker(TrackerKind wanted);

// Makes the best tracker of the wanted kind for `pid` (automatic: wp-async, else soft-dirty, else hash).
// make_userfaultfd: creates a userfaultfd *in* the victim (flags WriteProtectFd::create_flags()) and returns our
// duplicate. It is called at most once, and only for wp-async. If it fails under `automatic`, the next kind is taken
// and the reason is logged; for an explicit kind the Error passes through.
std::unique_ptr<Tracker> make_tracker(TrackerKind wanted, pid_t pid, const std::function<Fd()>& make_userfaultfd);

}  // namespace crx
