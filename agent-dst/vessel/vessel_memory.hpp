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

// An address space begins with nothing but the arena; it is mapped and filled round by round while the source still
// runs. A vessel that shares another's memory has an arena of its own in it and nothing to be asked here: all that is
// said of memory goes to the other one. A function that throws leaves a vessel that can only be destroyed. Every
// function that makes calls needs the arena; the scratch is its own while it runs.
class VesselMemory {
 public:
  VesselMemory(VesselCalls& calls, VesselDescriptors& descriptors);

  // --- rounds ---
  // Makes the mappings equal to `mm`'s: unmaps, maps and mprotects what differs; untouched mappings keep their pages.
  // Contents of new mappings are empty (files: the file's). Moves the arena out of the way where needed.
  // commit_charged: starts of mappings that must be charged to the commit limit although they are not writable.
  // Returns the ranges that were (re)mapped, whose pages the vessel no longer has.
  // Throws Error(corrupt_image) for a layout that cannot be, Error(unsupported) for one that cannot be had here.
  std::vector<PageRange> apply_layout(const img::mm_entry& mm, const std::vector<uint64_t>& commit_charged,
                                      FileOpener& files, ShmemTable& shmem);
  // At the end: a mapping of the layout that grew together here from parts with histories of their own is one VMA at
  // the source; it is made anew as one, with its pages. Otherwise an mremap over it could fail in the task.
  void join_mappings(const std::vector<uint64_t>& commit_charged, FileOpener& files, ShmemTable& shmem);
  // Writes pages; `bytes` holds those of `ranges` one after another. Ranges outside the layout: Error(peer).
  void write_pages(const std::vector<PageRange>& ranges, std::span<const std::byte> bytes);
  // Makes pages absent again (anonymous memory: zero; private file mappings: the file's).
  void drop_pages(const std::vector<PageRange>& ranges);
  // Makes pages read as zeros: absent in anonymous memory, a zero page in a private file mapping.
  void clear_pages(const std::vector<PageRange>& ranges);
  // MADV_GUARD_INSTALL (Linux 6.13).
  void guard_pages(const std::vector<PageRange>& ranges);
  // The last layout that was applied.
  const img::mm_entry& layout() const noexcept { return mm_; }
  // Everything that was mapped goes; the next layout starts from nothing.
  void clear();

  // --- cutover ---
  // Applies the attributes of single VMAs: those that must not be in force while pages are written (mlock, seals,
  // protection keys), and names and memory policies.
  void apply_vma_attributes(const img::crx_task_entry& extra);
  // PR_SET_MM_MAP: brk, code, data, stack, args, env, auxv and exe link of the layout. exe_fd: ours, of the executable.
  void set_mm_fields(int exe_fd);

  // --- without the arena ---
  // Bytes that the vessel has, by /proc/PID/mem, whatever their protection. Throw Error(kernel).
  void read(uint64_t addr, std::span<std::byte> bytes) const;
  void write(uint64_t addr, std::span<const std::byte> bytes) const;
  // The address of a system call instruction that stays when the arenas go. Throws Error(unsupported) where none is.
  uint64_t lasting_syscall() const;

 private:
  friend class Vessel;
  // The process is there: opens /proc/PID/mem.
  void open();
  // Unmaps what it was born with, all but the arena: at most three calls.
  void plan_empty(RemoteBatch& batch) const;
  void empty();
  // Its first pages may come by userfaultfd(2).
  void expect_first_pages() { first_pages_.make(calls_); }
  // Makes a fork of this vessel inherit memory that the program does not want to be inherited, and takes that back.
  void advise_for_fork(bool inherit);
  // Right after the fork: it has all that `from` has, but for the arenas of those who share that one's memory.
  void inherit(const VesselMemory& from);
  // It shares the memory of `from` (CLONE_VM).
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
  std::vector<Vma> vmas_;                                 // of mm_
  std::vector<PageRange> guards_;                         // of the last guard_pages()
  uint64_t vdso_syscall_ = 0;                             // where the vDSO makes one; 0 without a vDSO
  std::shared_ptr<std::vector<PageRange>> guest_arenas_;  // one for all that share memory: those of all but the first
  FirstPages first_pages_;
};

}  // namespace crx
