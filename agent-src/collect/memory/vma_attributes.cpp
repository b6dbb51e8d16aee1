#include "agent-src/collect/memory/vma_attributes.hpp"

#include <cpuid.h>
#include <linux/mempolicy.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cstddef>
#include <string>

#include "agent-src/collect/memory/protection_keys.hpp"

namespace crx {
namespace {

constexpr std::size_t kMaskBytes = 128;
constexpr std::size_t kMaxNode = kMaskBytes * 8;
constexpr std::size_t kPerBatch = 512;
constexpr int64_t kBatchDeadlineMs = 10'000;

// OSPKE: the kernel has enabled protection keys.
bool cpu_has_protection_keys() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (c & bit_OSPKE) != 0;
}

}  // namespace

struct VmaAttributes::Answer {
  uint32_t mode;
  uint32_t unused;
  char nodes[kMaskBytes];
};

VmaAttributes::VmaAttributes(FrozenTask& task, const MemoryMap& map) : task_(task), map_(map) {
  for (const MemoryVma& vma : map.vmas()) {
    if (is_private(vma.kind) || vma.kind == VmaKind::shmem) vmas_.push_back(vma);
  }
  ask(0);
}

void VmaAttributes::ask(std::size_t first) {
  first_ = first;
  const std::size_t count = std::min(kPerBatch, vmas_.size() - first);
  if (count == 0) return;
  scratch_.emplace(task_.arena());
  answers_ = task_.arena().allocate<Answer>(count);
  batch_.emplace(task_.arena(), count);
  for (std::size_t i = 0; i < count; ++i) {
    const RemotePtr<Answer> at = answers_.at(i);
    batch_->add_optional("reading a memory policy", SYS_get_mempolicy, at, at.member(offsetof(Answer, nodes)), kMaxNode,
                         vmas_[first + i].range.start, MPOL_F_ADDR);
  }
  task_.remote(0).start(*batch_);
}

void VmaAttributes::take() {
  task_.remote(0).finish(Deadline::in_ms(kBatchDeadlineMs));
  for (std::size_t i = 0; i < batch_->size(); ++i) {
    if (batch_->result(i) < 0 || answers_.local[i].mode == MPOL_DEFAULT) continue;
    const MemoryVma& vma = vmas_[first_ + i];
    img::crx_vma_entry& entry = entries_[vma.range.start];
    entry.set_start(vma.range.start);
    entry.set_end(vma.range.end);
    entry.mutable_mempolicy()->set_mode(answers_.local[i].mode);
    entry.mutable_mempolicy()->set_nodemask(std::string(answers_.local[i].nodes, kMaskBytes));
  }
}

void VmaAttributes::finish(img::crx_task_entry& extra) {
  for (img::crx_vma_entry& entry : map_.attributes()) entries_[entry.start()] = std::move(entry);
  while (batch_) {
    take();
    const std::size_t next = first_ + batch_->size();
    batch_.reset();
    scratch_.reset();
    ask(next);
  }
  if (cpu_has_protection_keys()) add_protection_keys(task_, extra);
  if (task_.locks_future_mappings()) {
    // An entry without addresses stands for all future mappings (mlockall).
    img::crx_vma_entry& future = *extra.add_vmas();
    future.set_start(0);
    future.set_end(0);
    future.add_vm_flags("lo");
  }
  for (auto& [start, entry] : entries_) *extra.add_vmas() = std::move(entry);
}

}  // namespace crx
