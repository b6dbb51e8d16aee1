// The trackers for kernels without asynchronous write protection (before Linux 6.7): content digests and soft-dirty
// bits.
#pragma once

#include "agent-src/memory/tracker.hpp"

namespace crx {

// Keeps no marks: every page that has content is a candidate, and the sender compares its digest with the one it sent
// last. Works on every kernel, but needs a pass over all memory while the process is stopped.
class HashTracker final : public Tracker {
 public:
  explicit HashTracker(pid_t pid) : pagemap_(Pagemap::open(pid)) {}
  TrackerKind kind() const override { return TrackerKind::hash; }
  const Pagemap& pagemap() const override { return pagemap_; }
  bool needs_stop() const override { return false; }
  bool compares_content() const override { return true; }
  void begin_pass(std::span<const MemoryVma> vmas) override { static_cast<void>(vmas); }
  void scan_private(const MemoryVma& vma, std::vector<PageRange>& dirty) override;
  bool scan_shared(const MemoryVma&, PageRange, std::vector<PageRange>&) override { return false; }
  void end_pass() override {}
  void frozen_private(const MemoryVma& vma, FrozenPages& pages) const override;
  bool frozen_shared(const MemoryVma&, PageRange, std::vector<PageRange>&) const override { return false; }

 private:
  Pagemap pagemap_;
};

// Reads the soft-dirty bit (CONFIG_MEM_SOFT_DIRTY; Documentation/admin-guide/mm/soft-dirty.rst). Reading the bits and
// clearing them are two steps, so the victim must be stopped for a pass. The tracker gives wrong results if another
// program writes to the victim's clear_refs meanwhile.
class SoftDirtyTracker final : public Tracker {
 public:
  explicit SoftDirtyTracker(pid_t pid) : pagemap_(Pagemap::open(pid)) {}
  TrackerKind kind() const override { return TrackerKind::soft_dirty; }
  const Pagemap& pagemap() const override { return pagemap_; }
  bool needs_stop() const override { return true; }
  bool compares_content() const override { return false; }
  void begin_pass(std::span<const MemoryVma> vmas) override { static_cast<void>(vmas); }
  void scan_private(const MemoryVma& vma, std::vector<PageRange>& dirty) override;
  bool scan_shared(const MemoryVma&, PageRange, std::vector<PageRange>&) override { return false; }
  void end_pass() override;
  void frozen_private(const MemoryVma& vma, FrozenPages& pages) const override;
  bool frozen_shared(const MemoryVma&, PageRange, std::vector<PageRange>&) const override { return false; }

 private:
  Pagemap pagemap_;
  bool cleared_once_ = false;
};

}  // namespace crx
