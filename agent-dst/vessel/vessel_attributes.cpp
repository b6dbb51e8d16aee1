// Restores, at the cutover, the attributes of a vessel's mappings and the memory descriptor's fields from the images.
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cstddef>
#include <set>
#include <span>

#include "agent-dst/vessel/protection_keys.hpp"
#include "agent-dst/vessel/vessel_memory.hpp"

namespace crx {
namespace {

constexpr std::size_t kMappingsPerBatch = 1024;
constexpr std::size_t kCallsPerMapping = 3;

// Returns the argument of PR_SET_MM_MAP, without exe_fd.
prctl_mm_map fields_of(const img::mm_entry& mm, RemotePtr<uint64_t> auxv) {
  prctl_mm_map map{};
  map.start_code = mm.mm_start_code();
  map.end_code = mm.mm_end_code();
  map.start_data = mm.mm_start_data();
  map.end_data = mm.mm_end_data();
  map.start_brk = mm.mm_start_brk();
  map.brk = mm.mm_brk();
  map.start_stack = mm.mm_start_stack();
  map.arg_start = mm.mm_arg_start();
  map.arg_end = mm.mm_arg_end();
  map.env_start = mm.mm_env_start();
  map.env_end = mm.mm_env_end();
  map.auxv = reinterpret_cast<__u64*>(auxv.addr());
  map.auxv_size = static_cast<__u32>(mm.mm_saved_auxv_size()) * 8;
  map.exe_fd = ~0U;
  return map;
}

}  // namespace

void VesselMemory::lock_mappings(const img::crx_task_entry& extra) {
  std::set<uint64_t> on_fault;
  for (const img::crx_vma_entry& vma : extra.vmas()) {
    if (vma.locked_on_fault()) on_fault.insert(vma.start());
  }
  for (std::size_t at = 0; at < vmas_.size();) {
    const ArenaScope scratch(calls_.arena());
    RemoteBatch batch = calls_.batch(kMappingsPerBatch);
    for (; at < vmas_.size() && !batch.full(); ++at) {
      const Vma& vma = vmas_[at];
      if ((vma.flags & MAP_LOCKED) == 0) continue;
      batch.add("locking memory", SYS_mlock2, vma.start, vma.end - vma.start,
                on_fault.contains(vma.start) ? MLOCK_ONFAULT : 0);
    }
    calls_.run_checked(batch);
  }
}

// Adds at most kCallsPerMapping calls.
void VesselMemory::plan_attributes(RemoteBatch& batch, const img::crx_vma_entry& vma) {
  if (vma.end() == 0) {  // the entry for future mappings
    batch.add("locking future mappings", SYS_mlockall, MCL_FUTURE);
    return;
  }
  const uint64_t bytes = vma.end() - vma.start();
  if (vma.has_name()) {
    batch.add_optional("naming memory", SYS_prctl, 0x53564d41 /* PR_SET_VMA */, 0, vma.start(), bytes,
                       calls_.arena().put_string(vma.name()));
  }
  if (vma.has_mempolicy()) {
    const auto mask = calls_.arena().put(std::as_bytes(std::span(vma.mempolicy().nodemask())));
    batch.add("setting a memory policy", SYS_mbind, vma.start(), bytes, vma.mempolicy().mode(), mask,
              vma.mempolicy().nodemask().size() * 8, 0);
  }
  if (vma.sealed()) batch.add("sealing memory", 462 /* mseal, Linux 6.10 */, vma.start(), bytes, 0);
}

void VesselMemory::apply_vma_attributes(const img::crx_task_entry& extra) {
  restore_protection_keys(calls_, vmas_, extra);
  lock_mappings(extra);
  for (int at = 0; at < extra.vmas_size();) {
    const ArenaScope scratch(calls_.arena());
    RemoteBatch batch = calls_.batch(kMappingsPerBatch * kCallsPerMapping);
    for (; at < extra.vmas_size() && batch.size() + kCallsPerMapping <= batch.capacity(); ++at)
      plan_attributes(batch, extra.vmas(at));
    calls_.run_checked(batch);
  }
}

void VesselMemory::set_mm_fields(int exe_fd) {
  const ArenaScope scratch(calls_.arena());
  RemoteBatch batch = calls_.batch(3);
  const auto auxv = calls_.arena().allocate<uint64_t>(static_cast<std::size_t>(mm_.mm_saved_auxv_size()) + 1);
  std::copy(mm_.mm_saved_auxv().begin(), mm_.mm_saved_auxv().end(), auxv.local);
  const RemotePtr<prctl_mm_map> map = calls_.arena().put_object(fields_of(mm_, auxv.remote));
  const std::size_t fd = descriptors_.plan_borrow(batch, exe_fd);
  batch.store_result(fd, map.member(offsetof(prctl_mm_map, exe_fd)));
  // exe_fd is the last 32-bit word of the structure, but store_result() writes 64 bits. The upper half goes into the
  // scratch behind the structure, which is free, since the structure was allocated last.
  static_assert(offsetof(prctl_mm_map, exe_fd) + 4 == sizeof(prctl_mm_map));
  batch.add("setting the memory fields", SYS_prctl, PR_SET_MM, PR_SET_MM_MAP, map, sizeof(prctl_mm_map), 0);
  batch.add("closing the executable", SYS_close, descriptors_.lowest_free());
  calls_.run_checked(batch);
}

}  // namespace crx
