// One address space's private memory over the rounds of a migration.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "agent-src/memory/page_sender.hpp"
#include "agent-src/memory/tracker.hpp"
#include "agent-src/memory/vma.hpp"

namespace crx {

// What one round did; sums over address spaces and shared objects.
struct MemoryStatistics {
  uint64_t scanned_bytes = 0;    // of mappings looked at
  uint64_t dirty_pages = 0;      // found written (first round: with content), to be sent
  uint64_t sent_pages = 0;       // put into the sink
  uint64_t unchanged_pages = 0;  // candidates whose content was as sent before
  uint64_t owed_pages = 0;       // could not be read: next round's
  uint64_t hole_pages = 0;       // final round: sent earlier, absent now
  int64_t scan_us = 0;
  int64_t send_us = 0;

  MemoryStatistics& operator+=(const MemoryStatistics& other);
};

// The private memory of a stopped process against what was sent.
struct FinalSpace {
  pid_t pid = 0;
  std::vector<PageRange> dirty;   // sent by send_final
  std::vector<PageRange> holes;   // sent earlier, no content now: must become untouched memory (MADV_DONTNEED)
  std::vector<PageRange> guards;  // to be guarded (MADV_GUARD_INSTALL), after the holes
  uint64_t present_pages = 0;     // pages with content
};

// Knows what the destination holds (`sent`) and what it is owed. The caller promises the destination each round's
// layout before that round's pages; there, memory of an address stays as long as the same thing is mapped at it
// (changed_ranges), and is lost otherwise: this class sends it again then. Single-threaded.
class SpaceRounds {
 public:
  SpaceRounds(pid_t pid, std::unique_ptr<Tracker> tracker);

  // Pre-copy, the victim running (stopped, if tracker().needs_stop()). begin: takes the mappings as read just now,
  // finds what was written and re-arms it; between the two calls the layout goes out. send: reads and puts. What
  // cannot be read, or was not put because the sink threw, is owed to the next round. Throws Error: victim_gone, or
  // refused when a mapping has appeared that cannot be moved.
  void begin_round(const std::vector<MemoryVma>& vmas, MemoryStatistics& statistics);
  void send_round(PageSink& sink, MemoryStatistics& statistics);

  // The last round, the victim stopped from before `vmas` was read until the end. Changes no marks: after a
  // rollback, rounds may follow. send_final throws Error(refused) naming a page that cannot be read.
  FinalSpace final_scan(const std::vector<MemoryVma>& vmas, MemoryStatistics& statistics);
  void send_final(const FinalSpace& final_space, PageSink& sink, MemoryStatistics& statistics);

  // --- memory shared by fork ---
  // Nothing of this space has been sent yet, and the destination is going to make it out of what it has of `donor`'s
  // (copy-on-write): what is shared is not sent again. Both have been in the last scan.
  // How many pages would not have to be sent, about; 0 where it cannot be done.
  uint64_t shared_with(const SpaceRounds& donor) const;
  uint64_t pending_pages() const { return total_pages(pending_); }  // that the last scan found
  // Between begin_round and send_round, after the donor's send_round.
  void inherit(const SpaceRounds& donor);
  // Between final_scan, whose result it changes, and send_final; after the donor's send_final.
  void inherit(const SpaceRounds& donor, FinalSpace& found);

  // The destination has lost what it held of this range: it is sent again.
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
  std::vector<MemoryVma> vmas_;     // of the last round
  std::vector<PageRange> sent_;     // pages whose (maybe old) content the destination holds
  std::vector<PageRange> pending_;  // found by the last scan
  std::vector<PageRange> owed_;     // must be sent whatever the tracker says
  PageHashes hashes_;               // only where the tracker compares content
};

}  // namespace crx
