// The mappings of a vessel.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <set>

#include "agent-dst/vessel/protection_keys.hpp"
#include "agent-dst/vessel/vessel.hpp"
#include "agent-dst/vessel/vessel_state.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/image/magic.hpp"
#include "common/kernel/ipc/sysv_ipc.hpp"
#include "common/kernel/memory/pagemap.hpp"
#include "common/proc/maps.hpp"

namespace crx {
namespace {

constexpr std::size_t kChangesPerBatch = 256;
constexpr std::size_t kCallsPerChange = 12;
constexpr uint64_t kArchMapVdso64 = 0x2003;  // ARCH_MAP_VDSO_64, asm/prctl.h

// Advice that sticks to a VMA, with the advice that takes it back (-1: nothing does).
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

bool special(const Vma& vma) {
  return (vma.status & (vma_status::kVdso | vma_status::kVvar)) != 0;
}

// Adds the calls of one layout change to a batch, opening files as needed.
class ChangePlanner {
 public:
  ChangePlanner(Vessel& vessel, const VesselState& state, FileOpener& files, ShmemTable& shmem)
      : vessel_(vessel), files_(files), shmem_(shmem) {
    lowest_ = state.table->lowest_free();
  }

  void plan(RemoteBatch& batch, const LayoutChange& change) {
    const Vma& vma = change.vma;
    const uint64_t bytes = vma.end - vma.start;
    switch (change.kind) {
      case LayoutChange::Kind::unmap:
        batch.add("unmapping", SYS_munmap, vma.start, bytes);
        break;
      case LayoutChange::Kind::protect:
        charge(batch, vma);
        batch.add("protecting memory", SYS_mprotect, vma.start, bytes, vma.prot);
        break;
      case LayoutChange::Kind::advise:
        for (const Advice& a : kAdvices) {
          if (a.undo >= 0) batch.add_optional("taking advice back", SYS_madvise, vma.start, bytes, a.undo);
        }
        break;
      case LayoutChange::Kind::map:
        map(batch, vma);
        if (vma.commit_charged) {
          charge(batch, vma);
          batch.add("protecting memory", SYS_mprotect, vma.start, bytes, vma.prot);
        }
        break;
    }
    if (change.kind == LayoutChange::Kind::map || change.kind == LayoutChange::Kind::advise) advise(batch, vma);
  }

 private:
  // A private mapping is charged when it becomes writable, and stays so.
  static void charge(RemoteBatch& batch, const Vma& vma) {
    if (vma.commit_charged)
      batch.add("charging memory", SYS_mprotect, vma.start, vma.end - vma.start, vma.prot | PROT_WRITE);
  }

  void advise(RemoteBatch& batch, const Vma& vma) {
    for (const Advice& a : kAdvices) {
      if ((vma.madvise >> a.advice & 1) == 0) continue;
      batch.add_optional("advising", SYS_madvise, vma.start, vma.end - vma.start, a.advice);
    }
  }

  void map(RemoteBatch& batch, const Vma& vma) {
    const uint64_t flags = birth_flags(vma.flags) | MAP_FIXED;
    const uint64_t bytes = vma.end - vma.start;
    if ((vma.status & vma_status::kAnonPrivate) != 0) {
      batch.add(vma.is_huge() ? "mapping huge pages" : "mapping memory", SYS_mmap, vma.start, bytes, vma.prot,
                flags | MAP_ANONYMOUS, -1, 0);
      return;
    }
    if ((vma.status & vma_status::kSysvIpc) != 0) {
      attach(batch, vma);
      return;
    }
    const std::size_t fd = vessel_.plan_borrow(batch, backing(vma));
    const std::size_t mapped = batch.add(vma.is_huge() ? "mapping huge pages" : "mapping a file", SYS_mmap, vma.start,
                                         bytes, vma.prot, of_file(flags), 0, vma.offset);
    batch.store_result(fd, batch.argument_addr(mapped, 4));
    batch.add("closing a mapped file", SYS_close, lowest_);
  }

  // The object says whether its pages are huge.
  static uint64_t of_file(uint64_t flags) {
    return flags & (MAP_SHARED | MAP_PRIVATE | MAP_GROWSDOWN | MAP_NORESERVE | MAP_FIXED);
  }

  // A segment is attached as a whole with its first piece.
  void attach(RemoteBatch& batch, const Vma& vma) {
    static_cast<void>(shmem_.descriptor(vma.backing));
    if (vma.offset == 0) {
      const int exec = (vma.prot & PROT_EXEC) != 0 ? SHM_EXEC : 0;
      batch.add("attaching shared memory", SYS_shmat, vma.backing & ~kSysvObjectBit, vma.start, SHM_REMAP | exec);
    }
    batch.add("protecting memory", SYS_mprotect, vma.start, vma.end - vma.start, vma.prot);
  }

  int backing(const Vma& vma) {
    if ((vma.status & vma_status::kAnonShared) != 0) {
      const uint32_t huge =
          birth_flags(vma.flags) & ~uint32_t{MAP_SHARED | MAP_PRIVATE | MAP_GROWSDOWN | MAP_NORESERVE};
      return shmem_.anonymous(vma.backing, vma.offset + vma.end - vma.start, huge);
    }
    if ((vma.status & vma_status::kMemfd) != 0) {
      const img::memfd_file_entry& memfd = files_.entry(static_cast<uint32_t>(vma.backing)).memfd();
      const int object = shmem_.descriptor(memfd.inode_id());
      if ((memfd.flags() & O_ACCMODE) != O_RDONLY || (vma.prot & PROT_WRITE) != 0)
        return object;                  // CRIU's entries may tell less
      auto& fd = opened_[vma.backing];  // its mappings can never be made writable
      if (!fd) fd = open_checked(fmt::format("/proc/self/fd/{}", object), O_RDONLY);
      return fd.get();
    }
    auto& fd = opened_[vma.backing];
    if (!fd) fd = files_.open(static_cast<uint32_t>(vma.backing));
    return fd.get();
  }

  Vessel& vessel_;
  FileOpener& files_;
  ShmemTable& shmem_;
  std::map<uint64_t, Fd> opened_;
  int lowest_ = 0;
};

// The vDSO with its data pages, which the kernel maps as one piece.
void map_vdso(VesselState& state, const std::vector<Vma>& wanted) {
  const auto first = std::find_if(wanted.begin(), wanted.end(), special);
  const bool have = std::any_of(state.vmas.begin(), state.vmas.end(), special);
  if (first == wanted.end() || have) return;
  RemoteBatch batch(state.arena, 1);
  batch.add("mapping the vDSO", SYS_arch_prctl, kArchMapVdso64, first->start);
  state.run_checked(batch);
  const auto text = std::find_if(first, wanted.end(), [](const Vma& v) { return (v.status & vma_status::kVdso) != 0; });
  if (text == wanted.end()) return;
  std::string code(text->end - text->start, '\0');
  if (::pread(state.mem.get(), code.data(), code.size(), static_cast<off_t>(text->start)) !=
      static_cast<ssize_t>(code.size())) {
    throw Error(ErrorCode::unsupported, "mapping the vDSO",
                fmt::format("this kernel's vDSO does not lie at {:x}-{:x} as the task's did", text->start, text->end))
        .with_hint("move between hosts with the same kernel");
  }
  const auto at = code.find("\x0f\x05");
  if (at == std::string::npos)
    throw Error(ErrorCode::unsupported, "mapping the vDSO", "it has no system call to borrow");
  state.vdso_syscall = text->start + at;
}

// Moves the arena out of the way of what is to be mapped: a second mapping of the same objects, then into it.
void relocate_arena(Vessel& vessel, VesselState& state, const std::vector<Vma>& wanted) {
  const uint64_t code_bytes = state.arena.code_size(), data_bytes = state.arena.data_size();
  const uint64_t old_code = state.arena.code_addr(), old_data = state.arena.data_addr();
  std::vector<Vma> taken = wanted;
  taken.insert(taken.end(), state.vmas.begin(), state.vmas.end());
  Vma arena;
  arena.start = old_code;
  arena.end = old_data + data_bytes;
  taken.push_back(arena);
  std::sort(taken.begin(), taken.end(), [](const Vma& a, const Vma& b) { return a.start < b.start; });
  const uint64_t at = find_gap(taken, code_bytes + data_bytes);
  const int lowest = state.table->lowest_free();
  RemoteBatch batch(state.arena, 6);
  const auto map = [&](const Fd& object, uint64_t addr, uint64_t bytes, int prot) {
    const std::size_t fd = vessel.plan_borrow(batch, object.get());
    const std::size_t mapped = batch.add("moving the arena", SYS_mmap, addr, bytes, prot, MAP_SHARED | MAP_FIXED, 0, 0);
    batch.store_result(fd, batch.argument_addr(mapped, 4));
    batch.add("moving the arena", SYS_close, lowest);
  };
  map(state.code_object, at, code_bytes, PROT_READ | PROT_EXEC);
  map(state.data_object, at + code_bytes, data_bytes, PROT_READ | PROT_WRITE);
  state.run_checked(batch);
  for (auto& remote : state.remotes) remote->leave();
  state.arena.moved_to(at, at + code_bytes);
  state.arena.reset();
  RemoteBatch unmap(state.arena, 2);
  unmap.add("moving the arena", SYS_munmap, old_code, code_bytes);
  unmap.add("moving the arena", SYS_munmap, old_data, data_bytes);
  state.run_checked(unmap);
  state.arena.reset();
}

bool overlaps_arena(const VesselState& state, const std::vector<Vma>& wanted) {
  for (const PageRange& guest : *state.guest_arenas) {
    if (std::none_of(wanted.begin(), wanted.end(),
                     [&](const Vma& v) { return v.start < guest.end && guest.start < v.end; }))
      continue;
    throw Error(ErrorCode::unsupported, "mapping memory",
                "what a process that shares the memory works in lies where it maps something")
        .with_hint("try again");
  }
  const uint64_t start = state.arena.code_addr(), end = state.arena.data_addr() + state.arena.data_size();
  return std::any_of(wanted.begin(), wanted.end(), [&](const Vma& v) { return v.start < end && start < v.end; });
}

// maps_huge: whether one of the calls maps huge pages, of which the host may have too few.
void run_layout(VesselState& state, RemoteBatch& batch, bool maps_huge) {
  try {
    state.run_checked(batch);
  } catch (Error& error) {
    if (maps_huge && error.err() == ENOMEM) throw std::move(error).with_hint(kHugePagesHint);
    throw;
  }
}

constexpr std::size_t kMappingsPerBatch = 1024;
constexpr std::size_t kCallsPerMapping = 3;

void lock_mappings(VesselState& s, const img::crx_task_entry& extra) {
  std::set<uint64_t> on_fault;
  for (const img::crx_vma_entry& vma : extra.vmas()) {
    if (vma.locked_on_fault()) on_fault.insert(vma.start());
  }
  for (std::size_t at = 0; at < s.vmas.size();) {
    s.arena.reset();
    RemoteBatch batch(s.arena, kMappingsPerBatch);
    for (; at < s.vmas.size() && batch.size() < kMappingsPerBatch; ++at) {
      const Vma& vma = s.vmas[at];
      if ((vma.flags & MAP_LOCKED) == 0) continue;
      batch.add("locking memory", SYS_mlock2, vma.start, vma.end - vma.start,
                on_fault.contains(vma.start) ? MLOCK_ONFAULT : 0);
    }
    s.run_checked(batch);
  }
}

void plan_attributes(RemoteBatch& batch, VesselState& s, const img::crx_vma_entry& vma) {
  if (vma.end() == 0) {  // speaks of mappings to come
    batch.add("locking future mappings", SYS_mlockall, MCL_FUTURE);
    return;
  }
  const uint64_t bytes = vma.end() - vma.start();
  if (vma.has_name()) {
    batch.add_optional("naming memory", SYS_prctl, 0x53564d41 /* PR_SET_VMA */, 0, vma.start(), bytes,
                       s.arena.put_string(vma.name()));
  }
  if (vma.has_mempolicy()) {
    const auto mask = s.arena.put(std::as_bytes(std::span(vma.mempolicy().nodemask())));
    batch.add("setting a memory policy", SYS_mbind, vma.start(), bytes, vma.mempolicy().mode(), mask,
              vma.mempolicy().nodemask().size() * 8, 0);
  }
  if (vma.sealed()) batch.add("sealing memory", 462 /* mseal, Linux 6.10 */, vma.start(), bytes, 0);
}

}  // namespace

std::vector<PageRange> Vessel::apply_layout(const img::mm_entry& mm, const std::vector<uint64_t>& commit_charged,
                                            FileOpener& files, ShmemTable& shmem) {
  VesselState& s = *state_;
  const std::vector<Vma> wanted = vmas_of(mm, commit_charged);
  s.arena.reset();
  if (!s.vmas.empty()) s.placer.reset();  // what comes now are mostly pages that exist; and calls that touch them
  if (overlaps_arena(s, wanted)) relocate_arena(*this, s, wanted);
  std::vector<PageRange> remapped;
  const std::vector<LayoutChange> todo = changes(s.vmas, wanted);
  for (std::size_t done = 0; done < todo.size();) {
    s.arena.reset();
    ChangePlanner planner(*this, s, files, shmem);
    RemoteBatch batch(s.arena, kChangesPerBatch * kCallsPerChange);
    bool maps_huge = false;
    for (std::size_t i = 0; i < kChangesPerBatch && done < todo.size(); ++i, ++done) {
      const LayoutChange& change = todo[done];
      if (change.kind == LayoutChange::Kind::map && special(change.vma)) continue;
      planner.plan(batch, change);
      maps_huge |= change.kind == LayoutChange::Kind::map && change.vma.is_huge();
      if (change.kind == LayoutChange::Kind::map) remapped.push_back({change.vma.start, change.vma.end});
    }
    run_layout(s, batch, maps_huge);
  }
  s.arena.reset();
  map_vdso(s, wanted);
  s.mm = mm;
  s.vmas = wanted;
  log::debug("vessel {}: {} layout changes, {} mappings", pid_, todo.size(), wanted.size());
  return remapped;
}

void Vessel::join_mappings(const std::vector<uint64_t>& commit_charged, FileOpener& files, ShmemTable& shmem) {
  VesselState& s = *state_;
  const auto actual = proc::parse_maps(read_file(fmt::format("/proc/{}/maps", pid_)));
  const auto split = [&](const Vma& vma) {
    // A segment is attached as a whole.
    if (special(vma) || (vma.status & vma_status::kSysvIpc) != 0 || (vma.flags & MAP_GROWSDOWN) != 0) return false;
    return std::any_of(actual.begin(), actual.end(),
                       [&](const proc::MapsEntry& m) { return vma.start < m.start && m.start < vma.end; });
  };
  std::vector<std::pair<PageRange, std::vector<std::byte>>> saved;
  const Pagemap pagemap = Pagemap::open(pid_);
  for (const Vma& vma : s.vmas) {
    if (!split(vma) || (vma.flags & MAP_TYPE) == MAP_SHARED) continue;
    std::vector<PageRegion> regions;
    Pagemap::Query query;
    query.inverted = page_is::kGuard | page_is::kPfnZero;
    if (vma.backing != 0) query.inverted |= page_is::kFile;
    query.required = query.inverted;
    query.anyof = page_is::kPresent | page_is::kSwapped;
    if (pagemap.scan({vma.start, vma.end}, query, regions) != ScanStatus::ok) throw_gone(pid_, "joining mappings");
    for (const PageRegion& region : regions) {
      std::vector<std::byte> bytes(region.range.bytes());
      if (::pread(s.mem.get(), bytes.data(), bytes.size(), static_cast<off_t>(region.range.start)) !=
          static_cast<ssize_t>(bytes.size())) {
        throw_errno("joining mappings", fmt::format("at {:#x}", region.range.start));
      }
      saved.emplace_back(region.range, std::move(bytes));
    }
  }
  const img::mm_entry mm = s.mm;
  if (std::erase_if(s.vmas, split) == 0) return;
  apply_layout(mm, commit_charged, files, shmem);
  for (const auto& [range, bytes] : saved) write_pages({range}, bytes);
  if (!s.guards.empty()) guard_pages(std::vector<PageRange>(s.guards));
}

void Vessel::apply_vma_attributes(const img::crx_task_entry& extra) {
  VesselState& s = *state_;
  restore_protection_keys(s, extra);
  lock_mappings(s, extra);
  for (int at = 0; at < extra.vmas_size();) {
    s.arena.reset();
    RemoteBatch batch(s.arena, kMappingsPerBatch * kCallsPerMapping);
    for (; at < extra.vmas_size() && batch.size() <= (kMappingsPerBatch - 1) * kCallsPerMapping; ++at)
      plan_attributes(batch, s, extra.vmas(at));
    s.run_checked(batch);
  }
  s.arena.reset();
}

}  // namespace crx
