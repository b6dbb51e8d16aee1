#include "agent-dst/objects/sysv_objects.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/shm.h>

#include <algorithm>
#include <utility>

#include "agent-dst/objects/shmem_table.hpp"
#include "common/base/error.hpp"
#include "common/base/page.hpp"
#include "common/base/scope_exit.hpp"
#include "common/kernel/memory/uapi_memory.hpp"

namespace crx {
namespace {

constexpr char kSysvObjectsStep[] = "making System V objects";
constexpr uint32_t kMostSemaphores = 32000;  // the kernel's default of SEMMSL

bool is_same(const SysvPerm& a, const SysvPerm& b) {
  return a.id == b.id && a.key == b.key && a.uid == b.uid && a.gid == b.gid && a.cuid == b.cuid && a.cgid == b.cgid &&
         a.mode == b.mode;
}

}  // namespace

SysvPerm perm_of(const img::ipc_desc_entry& desc) {
  if (desc.id() > INT32_MAX)
    throw Error(ErrorCode::corrupt_image, kSysvObjectsStep, fmt::format("number {}", desc.id()));
  return {static_cast<int>(desc.id()), desc.key(), desc.uid(), desc.gid(), desc.cuid(), desc.cgid(), desc.mode()};
}

SysvObjects::~SysvObjects() {
  for (const auto& [kind, id] : made_) remove_sysv(kind, id);
}

void SysvObjects::make_segment(const img::ipc_shm_entry& entry) {
  const SysvPerm perm = perm_of(entry.desc());
  if (entry.size() == 0)
    throw Error(ErrorCode::unsupported, kSysvObjectsStep, fmt::format("segment {} of 0 bytes", perm.id));
  try {
    create_segment(perm, entry.size(), huge_page_bytes(entry));
  } catch (Error& error) {
    if (error.err() == ENOMEM && entry.hugetlb_flag() != 0) throw std::move(error).with_hint(kHugePagesHint);
    throw;
  }
  made_.insert({SysvKind::segment, perm.id});
}

void SysvObjects::make_set(const img::ipc_sem_entry& entry) {
  const SysvPerm perm = perm_of(entry.desc());
  if (entry.nsems() == 0 || entry.nsems() > kMostSemaphores) {
    throw Error(ErrorCode::corrupt_image, kSysvObjectsStep,
                fmt::format("set {} of {} semaphores", perm.id, entry.nsems()));
  }
  for (const SysvSet& set : list_sets()) {
    if (!is_same(set.perm, perm) || set.count != entry.nsems() || !is_untouched(set)) continue;
    adopted_.insert({SysvKind::set, perm.id});
    return;
  }
  create_set(perm, entry.nsems());
  made_.insert({SysvKind::set, perm.id});
}

void SysvObjects::make_queue(const img::ipc_msg_entry& entry) {
  const SysvPerm perm = perm_of(entry.desc());
  for (const SysvQueue& queue : list_queues()) {
    if (!is_same(queue.perm, perm) || queue.max_bytes != entry.qbytes() || !is_untouched(queue)) continue;
    adopted_.insert({SysvKind::queue, perm.id});
    return;
  }
  create_queue(perm, entry.qbytes());
  made_.insert({SysvKind::queue, perm.id});
}

uint64_t huge_page_bytes(const img::ipc_shm_entry& entry) {
  if (entry.hugetlb_flag() == 0) return 0;
  const uint32_t size_bits = entry.hugetlb_flag() >> SHM_HUGE_SHIFT;
  if (size_bits < 16 || size_bits > 40) {
    throw Error(ErrorCode::corrupt_image, kSysvObjectsStep,
                fmt::format("segment {} has pages of 2^{} bytes", entry.desc().id(), size_bits));
  }
  return uint64_t{1} << size_bits;
}

Fd open_segment(const img::ipc_shm_entry& entry) {
  const auto id = static_cast<int>(entry.desc().id());
  const uint64_t page = std::max<uint64_t>(huge_page_bytes(entry), kPageSize);
  void* at = ::shmat(id, nullptr, 0);
  if (at == reinterpret_cast<void*>(-1)) throw_errno(kSysvObjectsStep, fmt::format("segment {}", id));
  const ScopeExit detach([at] { ::shmdt(at); });
  const auto start = reinterpret_cast<uint64_t>(at);
  return open_checked(
      fmt::format("/proc/self/map_files/{:x}-{:x}", start, start + (entry.size() + page - 1) / page * page), O_RDWR);
}

}  // namespace crx
