// The address space of a vessel.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "agent-dst/files/file_opener.hpp"
#include "agent-dst/objects/shmem_table.hpp"
#include "agent-dst/vessel/first_pages.hpp"
#include "agent-dst/vessel/layout.hpp"
#include "agent-dst/vessel/vessel_calls.hpp"
#include "agent-dst/vessel/vessel_descriptors.hpp"
#include "common/base/fd.hpp"
#include "common/base/page.hpp"
#include "common/image/schema/crx.pb.h"
#include "common/image/schema/mm.pb.h"

namespace crx {

// An address space begins with nothing but the arena. It is mapped and filled round by round while the source still
// runs. A vessel that shares another vessel's memory has an arena of its own in it, but no layout: use the VesselMemory
// of the other vessel instead. When a function throws, the vessel can only be destroyed afterwards. Every function that
// makes calls needs the arena, and uses its scratch while it runs. Single-threaded, on the tracer's thread.
class VesselMemory {
 public:
  VesselMemory(VesselCalls& calls, VesselDescriptors& descriptors);

  // --- rounds ---
  // Makes the mappings equal to `mm`'s by unmapping, mapping, mprotect(2) and madvise(2) where they differ. Other
  // mappings keep their pages. New mappings read as zeros, or as the file that they map. Moves the arena where `mm`
  // needs its addresses. commit_charged: start addresses of mappings that must be charged to the commit limit although
  // they are not writable. Returns the ranges that were mapped anew, whose pages the vessel no longer has. Throws
  // Error(corrupt_image) for an invalid layout, Error(unsupported) for one that this host cannot have, and like
  // LayoutCalls::plan().
  std::vector<PageRange> apply_layout(const img::mm_entry& mm, const std::vector<uint64_t>& commit_charged,
                                      FileOpener& files, ShmemTable& shmem);
  // Makes each mapping of the layout one VMA, as it is at the source. Changes in several rounds can leave it here as
  // several VMAs that the kernel does not merge; an mremap(2) over them could fail in the task. Such a mapping is made
  // anew with its pages. To be called once, after the last round.
  void join_mappings(const std::vector<uint64_t>& commit_charged, FileOpener& files, ShmemTable& shmem);
  // Writes pages; `bytes` holds the content of `ranges` one after another. Throws Error(peer) for a range outside of
  // the layout.
  void write_pages(const std::vector<PageRange>& ranges, std::span<const std::byte> bytes);
  // Makes pages absent again: anonymous memory then reads as zeros, a private file mapping as the file.
  void drop_pages(const std::vector<PageRange>& ranges);
  // Makes pages read as zeros: they become absent in anonymous memory, and zeros are written elsewhere.
  void clear_pages(const std::vector<PageRange>& ranges);
  // Turns pages into guard pages (MADV_GUARD_INSTALL, Linux 6.13).
  void guard_pages(const std::vector<PageRange>& ranges);
  // Returns the last layout that was applied; empty before the first one and after clear().
  const img::mm_entry& layout() const noexcept { return mm_; }
  // Unmaps everything but the arena; the next layout starts from an empty address space.
  void clear();

  // --- cutover ---
  // Applies attributes of single VMAs: those that must not be in force while pages are written (mlock(2), mseal(2),
  // protection keys), and names and memory policies.
  void apply_vma_attributes(const img::crx_task_entry& extra);
  // Sets brk, the bounds of code, data, stack, arguments and environment, auxv and the exe link from the layout
  // (PR_SET_MM_MAP). exe_fd: the engine's descriptor of the executable, not owned.
  void set_mm_fields(int exe_fd);

  // --- without the arena ---
  // Read and write the vessel's memory through /proc/PID/mem, regardless of its protection. Throw Error(kernel).
  void read(uint64_t addr, std::span<std::byte> bytes) const;
  void write(uint64_t addr, std::span<const std::byte> bytes) const;
  // Returns the address of a system call instruction that still exists after the arenas are unmapped. Throws
  // Error(unsupported) where there is none.
  uint64_t lasting_syscall() const;

 private:
  friend class Vessel;
  // Opens /proc/PID/mem; the process must exist.
  void open();
  // Adds the calls that unmap everything but the arena: at most three.
  void plan_empty(RemoteBatch& batch) const;
  void empty();
  // Lets the first pages be written through userfaultfd(2), where the kernel supports it.
  void expect_first_pages() { first_pages_.make(calls_); }
  // true: cancels MADV_DONTFORK and MADV_WIPEONFORK, so that a fork of this vessel inherits all memory; false: applies
  // them again.
  void advise_for_fork(bool inherit);
  // Right after the fork: takes over the layout of `from`, and unmaps the inherited arenas of the vessels that share
  // memory with `from`.
  void inherit(const VesselMemory& from);
  // Right after the fork: records that this vessel shares the memory of `from` (CLONE_VM).
  void share(const VesselMemory& from);

  const Vma& vma_at(uint64_t addr) const;
  void map_vdso(const std::vector<Vma>& wanted);
  void check_guests(const std::vector<Vma>& wanted) const;
  bool overlaps_arena(const std::vector<Vma>& wanted) const;
  void relocate_arena(const std::vector<Vma>& wanted);
  void run_layout(RemoteBatch& batch, bool maps_huge);
  void advise_pages(const char* what, const std::vector<PageRange>& ranges, int advice);
  void lock_mappings(const img::crx_task_entry& extra);
  void plan_attributes(RemoteBatch& batch, const img::crx_vma_entry& vma);

  VesselCalls& calls_;
  VesselDescriptors& descriptors_;
  Fd mem_;  // /proc/PID/mem
  img::mm_entry mm_;
  std::vector<Vma> vmas_;          // of mm_
  std::vector<PageRange> guards_;  // of the last guard_pages()
  uint64_t vdso_syscall_ = 0;      // address of a system call instruction in the vDSO; 0 without a vDSO
  // The arenas of all vessels that share this memory except the first one; they all have the same list.
  std::shared_ptr<std::vector<PageRange>> guest_arenas_;
  FirstPages first_pages_;
};

}  // namespace crx
