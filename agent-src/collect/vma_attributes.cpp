#include "agent-src/collect/vma_attributes.hpp"

#include <cpuid.h>
#include <linux/mempolicy.h>
#include <sys/syscall.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "agent-src/collect/protection_keys.hpp"

namespace crx {
namespace {

constexpr std::size_t kMaskBytes = 128;
constexpr std::size_t kMaxNode = kMaskBytes * 8;
constexpr std::size_t kPerBatch = 256;

struct Answer {
  uint32_t mode;
  uint32_t unused;
  char nodes[kMaskBytes];
};

void add_policies(FrozenTask& task, const std::vector<MemoryVma>& vmas, std::map<uint64_t, img::crx_vma_entry>& entries) {
  for (std::size_t first = 0; first < vmas.size(); first += kPerBatch) {
    const std::size_t count = std::min(kPerBatch, vmas.size() - first);
    task.arena().reset();
    const auto answers = task.arena().allocate<Answer>(count);
    RemoteBatch batch(task.arena(), count);
    for (std::size_t i = 0; i < count; ++i) {
      const uint64_t at = answers.remote + i * sizeof(Answer);
      batch.add_optional("reading a memory policy", SYS_get_mempolicy, at, at + offsetof(Answer, nodes), kMaxNode,
                         vmas[first + i].range.start, MPOL_F_ADDR);
    }
    task.remote(0).run(batch);
    for (std::size_t i = 0; i < count; ++i) {
      if (batch.result(i) < 0 || answers.local[i].mode == MPOL_DEFAULT) continue;
      const MemoryVma& vma = vmas[first + i];
      img::crx_vma_entry& entry = entries[vma.range.start];
      entry.set_start(vma.range.start);
      entry.set_end(vma.range.end);
      entry.mutable_mempolicy()->set_mode(answers.local[i].mode);
      entry.mutable_mempolicy()->set_nodemask(std::string(answers.local[i].nodes, kMaskBytes));
    }
  }
}

// OSPKE: the kernel has turned them on.
bool cpu_has_protection_keys() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (c & bit_OSPKE) != 0;
}

}  // namespace

void add_vma_attributes(FrozenTask& task, const MemoryMap& map, img::crx_task_entry& extra) {
  std::map<uint64_t, img::crx_vma_entry> entries;
  for (img::crx_vma_entry& entry : map.attributes()) entries[entry.start()] = std::move(entry);
  std::vector<MemoryVma> vmas;
  for (const MemoryVma& vma : map.vmas()) {
    if (is_private(vma.kind) || vma.kind == VmaKind::shmem) vmas.push_back(vma);
  }
  add_policies(task, vmas, entries);
  task.arena().reset();
  if (cpu_has_protection_keys()) add_protection_keys(task, extra);
  if (task.locks_future_mappings()) {
    // An entry without addresses speaks of the mappings to come.
    img::crx_vma_entry& future = *extra.add_vmas();
    future.set_start(0);
    future.set_end(0);
    future.add_vm_flags("lo");
  }
  for (auto& [start, entry] : entries) *extra.add_vmas() = std::move(entry);
}

}  // namespace crx
