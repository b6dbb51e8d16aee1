// The private memory of one address space over the rounds of a migration.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "agent-src/memory/page_sender.hpp"
#include "agent-src/memory/tracker.hpp"
#include "agent-src/memory/vma.hpp"

namespace crx {

// The figures of one round, summed over address spaces and shared objects.
struct MemoryStatistics {
  uint64_t scanned_bytes = 0;    // bytes of the mappings that were scanned
  uint64_t dirty_pages = 0;      // pages found written (first round: pages with content), to be sent
  uint64_t sent_pages = 0;       // put into the sink
  uint64_t unchanged_pages = 0;  // candidates whose content equals what was sent before
  uint64_t owed_pages = 0;       // pages that could not be read; the next round sends them
  uint64_t hole_pages = 0;       // in the last round: pages sent earlier and absent now
  int64_t scan_us = 0;
  int64_t send_us = 0;

  MemoryStatistics& operator+=(const MemoryStatistics& other);
};

// How the private memory of a stopped process differs from what was sent.
struct FinalSpace {
  pid_t pid = 0;
  std::vector<PageRange> dirty;   // pages to be sent by send_final
  std::vector<PageRange> holes;   // sent earlier, no content now: must become untouched memory (MADV_DONTNEED)
  std::vector<PageRange> guards;  // to be guarded (MADV_GUARD_INSTALL), after the holes
  uint64_t present_pages = 0;     // number of pages with content
};

// Keeps account of the pages that the destination holds (`sent`) and of those that still have to go (`owed`). The
// caller sends each round's layout before that round's pages. The destination keeps the memory at an address as long as
// the same thing is mapped there (changed_ranges) and loses it otherwise; this class then sends it again.
// Single-threaded.
class SpaceRounds {
 public:
  // tracker: a new one for `pid`, owned by this object; its destructor removes the protection in the victim.
  SpaceRounds(pid_t pid, std::unique_ptr<Tracker> tracker);

  // One pre-copy round; the victim runs (it is stopped if tracker().needs_stop()). begin_round takes the mappings as
  // they were just read, finds the written pages and protects them again; the caller sends the layout between the two
  // calls; send_round reads the pages and puts them. Pages that cannot be read, or were not put because the sink threw,
  // are sent in the next round. Throws Error(victim_gone), or Error(refused) if a mapping has appeared that cannot be
  // moved.
  void begin_round(const std::vector<MemoryVma>& vmas, MemoryStatistics& statistics);
  void send_round(PageSink& sink, MemoryStatistics& statistics);

  // The last round. The victim is stopped from before `vmas` was read until the end. No marks change, so rounds may
  // follow after a rollback. send_final throws Error(refused) that names a page that cannot be read.
  FinalSpace final_scan(const std::vector<MemoryVma>& vmas, MemoryStatistics& statistics);
  void send_final(const FinalSpace& final_space, PageSink& sink, MemoryStatistics& statistics);

  // --- memory shared by fork ---
  // Preconditions: nothing of this space has been sent yet, and the destination will build it from a copy of `donor`'s
  // memory (copy-on-write), so that shared pages need not be sent again. The last scan covered both.
  // Estimates how many pages would not have to be sent; 0 if the kernel's own mappings ([vdso], ...) differ.
  uint64_t shared_with(const SpaceRounds& donor) const;
  uint64_t pending_pages() const { return total_pages(pending_); }  // pages that the last scan found
  // To be called between begin_round and send_round, after the donor's send_round.
  void inherit(const SpaceRounds& donor);
  // To be called between final_scan, whose result it changes, and send_final; after the donor's send_final.
  void inherit(const SpaceRounds& donor, FinalSpace& found);

  // Tells that the destination no longer holds this range: it is sent again.
  void forget(PageRange range);

  pid_t pid() const noexcept { return pid_; }
  Tracker& tracker() noexcept { return *tracker_; }
  const std::vector<PageRange>& sent() const noexcept { return sent_; }

 private:
  void follow_layout(const std::vector<MemoryVma>& vmas);
  std::vector<PageRange> inherited(const SpaceRounds& donor) const;
  PageHashes* hashes() { return tracker_->compares_content() ? &hashes_ : nullptr; }

  pid_t pid_;
  std::unique_ptr<Tracker> tracker_;
  MemoryReader reader_;
  std::vector<MemoryVma> vmas_;     // from the last round
  std::vector<PageRange> sent_;     // pages that the destination holds, perhaps with old content
  std::vector<PageRange> pending_;  // pages that the last scan found
  std::vector<PageRange> owed_;     // must be sent whatever the tracker says
  PageHashes hashes_;               // used only if the tracker compares content
};

}  // namespace crx
