// Asynchronous write protection (Linux 6.7): exact to the page, while the victim runs.
#pragma once

#include "agent-src/memory/tracker.hpp"

namespace crx {

// Registers every mapping with userfaultfd when it first meets it, also those whose content is not sent: an mremap in
// the victim over a registered and an unregistered neighbour would fail with EFAULT.
class WpAsyncTracker final : public Tracker {
 public:
  // fd: made in the victim; owned by this object, whose destructor closes it and thereby removes all protection.
  WpAsyncTracker(pid_t pid, WriteProtectFd fd);
  TrackerKind kind() const override { return TrackerKind::wp_async; }
  const Pagemap& pagemap() const override { return pagemap_; }
  bool needs_stop() const override { return false; }
  bool compares_content() const override { return false; }
  void begin_pass(std::span<const MemoryVma> vmas) override;
  void scan_private(const MemoryVma& vma, std::vector<PageRange>& dirty) override;
  bool scan_shared(const MemoryVma& vma, PageRange part, std::vector<PageRange>& dirty) override;
  void end_pass() override {}
  void frozen_private(const MemoryVma& vma, FrozenPages& pages) const override;
  bool frozen_shared(const MemoryVma& vma, PageRange part, std::vector<PageRange>& dirty) const override;

 private:
  void find_spans(std::span<const MemoryVma> vmas);
  const PageRange* span_of(PageRange range) const;  // nullptr: none
  RegisterStatus register_around(PageRange range) const;
  std::vector<PageRange> spans_;  // of the current pass: the ranges between mappings that cannot be registered
  Pagemap pagemap_;
  WriteProtectFd fd_;
};

}  // namespace crx
