#include "agent-dst/vessel/layout_calls.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/syscall.h>

#include "common/image/magic.hpp"
#include "common/kernel/ipc/sysv_ipc.hpp"

namespace crx {
namespace {

// madvise(2) advice that the kernel keeps in the VMA, and the advice that takes it back (-1: there is none).
struct Advice {
  int advice;
  int undo;
};
constexpr Advice kAdvices[] = {
    {MADV_RANDOM, MADV_NORMAL},   {MADV_SEQUENTIAL, MADV_NORMAL},
    {MADV_DONTFORK, MADV_DOFORK}, {MADV_MERGEABLE, MADV_UNMERGEABLE},
    {MADV_HUGEPAGE, -1},          {MADV_NOHUGEPAGE, -1},
    {MADV_DONTDUMP, MADV_DODUMP}, {18 /* MADV_WIPEONFORK */, 19 /* MADV_KEEPONFORK */},
};

uint64_t size_of(const Vma& vma) {
  return vma.end - vma.start;
}

// Charges a private mapping to the commit limit by making it writable: the kernel charges it then, and keeps the charge
// when the mapping is made read-only again.
void charge(RemoteBatch& batch, const Vma& vma) {
  if (vma.commit_charged) batch.add("charging memory", SYS_mprotect, vma.start, size_of(vma), vma.prot | PROT_WRITE);
}

void protect(RemoteBatch& batch, const Vma& vma) {
  batch.add("protecting memory", SYS_mprotect, vma.start, size_of(vma), vma.prot);
}

void advise(RemoteBatch& batch, const Vma& vma) {
  for (const Advice& a : kAdvices) {
    if ((vma.madvise >> a.advice & 1) == 0) continue;
    batch.add_optional("advising", SYS_madvise, vma.start, size_of(vma), a.advice);
  }
}

// The mmap(2) flags for mapping a file or object. MAP_HUGETLB is left out: the object itself determines whether its
// pages are huge.
uint64_t of_file(uint64_t flags) {
  return flags & (MAP_SHARED | MAP_PRIVATE | MAP_GROWSDOWN | MAP_NORESERVE | MAP_FIXED);
}

}  // namespace

void LayoutCalls::plan(RemoteBatch& batch, const LayoutChange& change) {
  const Vma& vma = change.vma;
  switch (change.kind) {
    case LayoutChange::Kind::unmap:
      batch.add("unmapping", SYS_munmap, vma.start, size_of(vma));
      break;
    case LayoutChange::Kind::protect:
      charge(batch, vma);
      protect(batch, vma);
      break;
    case LayoutChange::Kind::advise:
      for (const Advice& a : kAdvices) {
        if (a.undo >= 0) batch.add_optional("taking advice back", SYS_madvise, vma.start, size_of(vma), a.undo);
      }
      advise(batch, vma);
      break;
    case LayoutChange::Kind::map:
      map(batch, vma);
      if (vma.commit_charged) {
        charge(batch, vma);
        protect(batch, vma);
      }
      advise(batch, vma);
      break;
  }
}

void LayoutCalls::map(RemoteBatch& batch, const Vma& vma) {
  const uint64_t flags = birth_flags(vma.flags) | MAP_FIXED;
  if ((vma.status & vma_status::kAnonPrivate) != 0) {
    batch.add(vma.is_huge() ? "mapping huge pages" : "mapping memory", SYS_mmap, vma.start, size_of(vma), vma.prot,
              flags | MAP_ANONYMOUS, -1, 0);
    return;
  }
  if ((vma.status & vma_status::kSysvIpc) != 0) {
    attach(batch, vma);
    return;
  }
  const std::size_t fd = descriptors_.plan_borrow(batch, backing(vma));
  const std::size_t mapped = batch.add(vma.is_huge() ? "mapping huge pages" : "mapping a file", SYS_mmap, vma.start,
                                       size_of(vma), vma.prot, of_file(flags), 0, vma.offset);
  batch.store_result(fd, batch.argument_addr(mapped, 4));
  batch.add("closing a mapped file", SYS_close, descriptors_.lowest_free());
}

// Attaches a System V segment. shmat(2) attaches it as a whole, so this happens with its first piece.
void LayoutCalls::attach(RemoteBatch& batch, const Vma& vma) {
  static_cast<void>(shmem_.descriptor(vma.backing));
  if (vma.offset == 0) {
    const int exec = (vma.prot & PROT_EXEC) != 0 ? SHM_EXEC : 0;
    batch.add("attaching shared memory", SYS_shmat, vma.backing & ~kSysvObjectBit, vma.start, SHM_REMAP | exec);
  }
  protect(batch, vma);
}

int LayoutCalls::backing(const Vma& vma) {
  if ((vma.status & vma_status::kAnonShared) != 0) {
    const uint32_t huge = birth_flags(vma.flags) & ~uint32_t{MAP_SHARED | MAP_PRIVATE | MAP_GROWSDOWN | MAP_NORESERVE};
    return shmem_.anonymous(vma.backing, vma.offset + vma.end - vma.start, huge);
  }
  if ((vma.status & vma_status::kMemfd) != 0) {
    const img::memfd_file_entry& memfd = files_.entry(static_cast<uint32_t>(vma.backing)).memfd();
    const int object = shmem_.descriptor(memfd.inode_id());
    // The flags in CRIU's entries may allow less than the mapping needs.
    if ((memfd.flags() & O_ACCMODE) != O_RDONLY || (vma.prot & PROT_WRITE) != 0) return object;
    auto& fd = opened_[vma.backing];  // read-only, so that its mappings can never be made writable
    if (!fd) fd = open_checked(fmt::format("/proc/self/fd/{}", object), O_RDONLY);
    return fd.get();
  }
  auto& fd = opened_[vma.backing];
  if (!fd) fd = files_.open(static_cast<uint32_t>(vma.backing), task_);
  return fd.get();
}

}  // namespace crx
