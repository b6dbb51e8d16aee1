// The trackers for kernels without asynchronous write protection.
#pragma once

#include "agent-src/memory/tracker.hpp"

namespace crx {

// Tracks nothing: every page with content is a candidate, and the sender compares digests. Always works; needs a
// pass over all memory in the freeze.
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

// The soft-dirty bit (CONFIG_MEM_SOFT_DIRTY; Documentation/admin-guide/mm/soft-dirty.rst). Reading the bits and
// clearing them are two steps, so a pass needs the victim stopped. Another user of clear_refs breaks it.
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
