#include "common/image/claimed_memory.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <unordered_set>

#include "common/image/magic.hpp"

namespace crx {
namespace {

uint64_t add_up(uint64_t a, uint64_t b) {
  return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

bool is_claimed(const img::vma_entry& vma, bool charged) {
  const bool reserves = (vma.flags() & MAP_NORESERVE) == 0 || (vma.flags() & MAP_LOCKED) != 0;
  return reserves && ((vma.prot() & PROT_WRITE) != 0 || charged || (vma.flags() & MAP_HUGETLB) != 0);
}

}  // namespace

void ClaimedMemory::set(pid_t space, const img::mm_entry& mm, const std::vector<uint64_t>& commit_charged) {
  constexpr uint32_t kObject = vma_status::kAnonShared | vma_status::kMemfd | vma_status::kSysvIpc;
  constexpr uint32_t kNotOurs = vma_status::kVsyscall | vma_status::kVdso | vma_status::kVvar;
  const std::unordered_set<uint64_t> charged(commit_charged.begin(), commit_charged.end());
  Claim claim;
  for (const img::vma_entry& vma : mm.vmas()) {
    if (vma.end() <= vma.start() || (vma.status() & kNotOurs) != 0) continue;
    const uint64_t size = vma.end() - vma.start();
    if ((vma.flags() & MAP_TYPE) == MAP_SHARED || (vma.flags() & MAP_TYPE) == MAP_SHARED_VALIDATE) {
      if ((vma.status() & kObject) == 0) continue;  // a file's own pages
      uint64_t& end = claim.objects[vma.shmid()];
      end = std::max(end, add_up(vma.pgoff(), size));
      continue;
    }
    if (is_claimed(vma, charged.contains(vma.start()))) claim.bytes = add_up(claim.bytes, size);
  }
  spaces_[space] = std::move(claim);
}

void ClaimedMemory::copy(pid_t from, pid_t space) {
  const auto found = spaces_.find(from);
  if (found != spaces_.end()) spaces_[space] = Claim(found->second);
}

void ClaimedMemory::erase(pid_t space) {
  spaces_.erase(space);
}

uint64_t ClaimedMemory::bytes() const {
  uint64_t sum = 0;
  std::map<uint64_t, uint64_t> objects;
  for (const auto& [space, claim] : spaces_) {
    sum = add_up(sum, claim.bytes);
    for (const auto& [object, end] : claim.objects) {
      uint64_t& last = objects[object];
      last = std::max(last, end);
    }
  }
  for (const auto& [object, end] : objects) sum = add_up(sum, end);
  return sum;
}

}  // namespace crx
