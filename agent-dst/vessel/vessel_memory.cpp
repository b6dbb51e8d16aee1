// The layout of a vessel's memory: its start, its changes, and the arena's place in it.
#include "agent-dst/vessel/vessel_memory.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

#include "agent-dst/vessel/layout_calls.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/image/magic.hpp"
#include "common/kernel/memory/pagemap.hpp"
#include "common/proc/maps.hpp"
#include "common/remote/syscall_instruction.hpp"

namespace crx {
namespace {

constexpr std::size_t kChangesPerBatch = 256;
constexpr uint64_t kArchMapVdso64 = 0x2003;  // ARCH_MAP_VDSO_64, asm/prctl.h

bool overlaps(const std::vector<Vma>& vmas, PageRange range) {
  return std::any_of(vmas.begin(), vmas.end(),
                     [&](const Vma& v) { return v.start < range.end && range.start < v.end; });
}

PageRange range_of(const RemoteArena& arena) {
  return {arena.code_addr(), arena.data_addr() + arena.data_size()};
}

}  // namespace

VesselMemory::VesselMemory(VesselCalls& calls, VesselDescriptors& descriptors)
    : calls_(calls), descriptors_(descriptors), guest_arenas_(std::make_shared<std::vector<PageRange>>()) {}

void VesselMemory::open() {
  mem_ = open_checked(fmt::format("/proc/{}/mem", calls_.pid()), O_RDWR);
}

void VesselMemory::read(uint64_t addr, std::span<std::byte> bytes) const {
  if (::pread(mem_.get(), bytes.data(), bytes.size(), static_cast<off_t>(addr)) != static_cast<ssize_t>(bytes.size()))
    throw_errno("reading memory", fmt::format("of process {} at {:#x}", calls_.pid(), addr));
}

void VesselMemory::write(uint64_t addr, std::span<const std::byte> bytes) const {
  if (::pwrite(mem_.get(), bytes.data(), bytes.size(), static_cast<off_t>(addr)) != static_cast<ssize_t>(bytes.size()))
    throw_errno("writing memory", fmt::format("of process {} at {:#x}", calls_.pid(), addr));
}

uint64_t VesselMemory::lasting_syscall() const {
  if (vdso_syscall_ != 0) return vdso_syscall_;
  const uint64_t code = calls_.arena().code_addr();
  std::vector<PageRange> arenas = *guest_arenas_;
  arenas.push_back({code, code + calls_.arena().code_size()});
  return syscall_instruction(calls_.pid(), arenas);
}

void VesselMemory::plan_empty(RemoteBatch& batch) const {
  static constexpr char kStep[] = "emptying the address space";
  const RemoteArena& arena = calls_.arena();
  const uint64_t code_end = arena.code_addr() + arena.code_size(), data_end = arena.data_addr() + arena.data_size();
  batch.add(kStep, SYS_munmap, 0, arena.code_addr());
  if (code_end < arena.data_addr()) batch.add(kStep, SYS_munmap, code_end, arena.data_addr() - code_end);
  batch.add(kStep, SYS_munmap, data_end, kEndOfUserSpace - data_end);
}

void VesselMemory::empty() {
  const ArenaScope scratch(calls_.arena());
  RemoteBatch batch = calls_.batch(3);
  plan_empty(batch);
  calls_.run_checked(batch);
}

void VesselMemory::clear() {
  first_pages_.end();
  empty();
  mm_.Clear();
  vmas_.clear();
  guards_.clear();
  vdso_syscall_ = 0;
}

void VesselMemory::advise_for_fork(bool inherit) {
  constexpr int kWipeOnFork = 18, kKeepOnFork = 19;  // Linux 4.14
  static constexpr char kStep[] = "advising memory";
  const auto advised = [](const Vma& vma, int advice) { return (vma.madvise >> advice & 1) != 0; };
  for (std::size_t at = 0; at < vmas_.size();) {
    const ArenaScope scratch(calls_.arena());
    RemoteBatch batch = calls_.batch(512);
    for (; at < vmas_.size() && batch.size() < 500; ++at) {
      const Vma& vma = vmas_[at];
      const uint64_t bytes = vma.end - vma.start;
      if (vma.is_droppable()) continue;
      if (advised(vma, MADV_DONTFORK))
        batch.add(kStep, SYS_madvise, vma.start, bytes, inherit ? MADV_DOFORK : MADV_DONTFORK);
      if (advised(vma, kWipeOnFork))
        batch.add(kStep, SYS_madvise, vma.start, bytes, inherit ? kKeepOnFork : kWipeOnFork);
    }
    calls_.run_checked(batch);
  }
}

void VesselMemory::inherit(const VesselMemory& from) {
  mm_ = from.mm_;
  vmas_ = from.vmas_;
  guards_ = from.guards_;
  vdso_syscall_ = from.vdso_syscall_;
  advise_for_fork(false);
  const ArenaScope scratch(calls_.arena());
  RemoteBatch batch = calls_.batch(from.guest_arenas_->size());
  for (const PageRange& guest : *from.guest_arenas_)
    batch.add("leaving a guest's arena", SYS_munmap, guest.start, guest.bytes());
  calls_.run_checked(batch);
}

void VesselMemory::share(const VesselMemory& from) {
  guest_arenas_ = from.guest_arenas_;
  guest_arenas_->push_back(range_of(calls_.arena()));
  vdso_syscall_ = from.vdso_syscall_;
}

// Maps the vDSO with its data pages, which the kernel maps as one piece.
void VesselMemory::map_vdso(const std::vector<Vma>& wanted) {
  static constexpr char kStep[] = "mapping the vDSO";
  const auto special = [](const Vma& vma) { return vma.is_special(); };
  const auto first = std::find_if(wanted.begin(), wanted.end(), special);
  if (first == wanted.end() || std::any_of(vmas_.begin(), vmas_.end(), special)) return;
  calls_.call(kStep, SYS_arch_prctl, kArchMapVdso64, first->start);
  const auto text = std::find_if(first, wanted.end(), [](const Vma& v) { return (v.status & vma_status::kVdso) != 0; });
  if (text == wanted.end()) return;
  std::string code(text->end - text->start, '\0');
  if (::pread(mem_.get(), code.data(), code.size(), static_cast<off_t>(text->start)) !=
      static_cast<ssize_t>(code.size())) {
    throw Error(ErrorCode::unsupported, kStep,
                fmt::format("this kernel's vDSO does not lie at {:x}-{:x} as the task's did", text->start, text->end))
        .with_hint("move between hosts with the same kernel");
  }
  const auto at = code.find("\x0f\x05");
  if (at == std::string::npos) throw Error(ErrorCode::unsupported, kStep, "it has no system call to borrow");
  vdso_syscall_ = text->start + at;
}

// Checks that the wanted mappings leave alone the arenas of the vessels that share this memory, which cannot be moved.
void VesselMemory::check_guests(const std::vector<Vma>& wanted) const {
  for (const PageRange& guest : *guest_arenas_) {
    if (!overlaps(wanted, guest)) continue;
    throw Error(ErrorCode::unsupported, "mapping memory",
                "what a process that shares the memory works in lies where it maps something")
        .with_hint("try again");
  }
}

bool VesselMemory::overlaps_arena(const std::vector<Vma>& wanted) const {
  return overlaps(wanted, range_of(calls_.arena()));
}

// Moves the arena to addresses that neither the wanted nor the present mappings use: maps the same objects a second
// time, lets the threads continue there, and unmaps the old arena.
void VesselMemory::relocate_arena(const std::vector<Vma>& wanted) {
  static constexpr char kStep[] = "moving the arena";
  RemoteArena& arena = calls_.arena();
  const uint64_t code_bytes = arena.code_size(), data_bytes = arena.data_size();
  const uint64_t old_code = arena.code_addr(), old_data = arena.data_addr();
  std::vector<Vma> taken = wanted;
  taken.insert(taken.end(), vmas_.begin(), vmas_.end());
  Vma& own = taken.emplace_back();
  own.start = old_code;
  own.end = old_data + data_bytes;
  std::sort(taken.begin(), taken.end(), [](const Vma& a, const Vma& b) { return a.start < b.start; });
  const uint64_t at = find_gap(taken, code_bytes + data_bytes);
  {
    const ArenaScope scratch(arena);
    RemoteBatch batch = calls_.batch(6);
    const auto map = [&](const Fd& object, uint64_t addr, uint64_t bytes, int prot) {
      const std::size_t fd = descriptors_.plan_borrow(batch, object.get());
      const std::size_t mapped = batch.add(kStep, SYS_mmap, addr, bytes, prot, MAP_SHARED | MAP_FIXED, 0, 0);
      batch.store_result(fd, batch.argument_addr(mapped, 4));
      batch.add(kStep, SYS_close, descriptors_.lowest_free());
    };
    map(calls_.code_object(), at, code_bytes, PROT_READ | PROT_EXEC);
    map(calls_.data_object(), at + code_bytes, data_bytes, PROT_READ | PROT_WRITE);
    calls_.run_checked(batch);
  }
  calls_.leave();
  arena.moved_to(at, at + code_bytes);
  const ArenaScope scratch(arena);
  RemoteBatch unmap = calls_.batch(2);
  unmap.add(kStep, SYS_munmap, old_code, code_bytes);
  unmap.add(kStep, SYS_munmap, old_data, data_bytes);
  calls_.run_checked(unmap);
}

// Runs a batch of layout changes. maps_huge: one of the calls maps huge pages, of which the host may have too few; a
// failure then says so.
void VesselMemory::run_layout(RemoteBatch& batch, bool maps_huge) {
  try {
    calls_.run_checked(batch);
  } catch (Error& error) {
    if (maps_huge && error.err() == ENOMEM) throw std::move(error).with_hint(kHugePagesHint);
    throw;
  }
}

std::vector<PageRange> VesselMemory::apply_layout(const img::mm_entry& mm, const std::vector<uint64_t>& commit_charged,
                                                  FileOpener& files, ShmemTable& shmem) {
  const std::vector<Vma> wanted = vmas_of(mm, commit_charged);
  // From the second layout on most pages exist already; and the calls below touch absent ones, which would fail while
  // the userfaultfd exists.
  if (!vmas_.empty()) first_pages_.end();
  check_guests(wanted);
  if (overlaps_arena(wanted)) relocate_arena(wanted);
  std::vector<PageRange> remapped;
  const std::vector<LayoutChange> todo = changes(vmas_, wanted);
  for (std::size_t done = 0; done < todo.size();) {
    const ArenaScope scratch(calls_.arena());
    LayoutCalls layout_calls(calls_.pid(), descriptors_, files, shmem);
    RemoteBatch batch = calls_.batch(kChangesPerBatch * LayoutCalls::kMostPerChange);
    bool maps_huge = false;
    for (std::size_t i = 0; i < kChangesPerBatch && done < todo.size(); ++i, ++done) {
      const LayoutChange& change = todo[done];
      const bool maps = change.kind == LayoutChange::Kind::map;
      if (maps && change.vma.is_special()) continue;
      layout_calls.plan(batch, change);
      if (maps) remapped.push_back({change.vma.start, change.vma.end});
      maps_huge |= maps && change.vma.is_huge();
    }
    run_layout(batch, maps_huge);
  }
  map_vdso(wanted);
  mm_ = mm;
  vmas_ = wanted;
  log::debug("vessel {}: {} layout changes, {} mappings", calls_.pid(), todo.size(), wanted.size());
  return remapped;
}

void VesselMemory::join_mappings(const std::vector<uint64_t>& commit_charged, FileOpener& files, ShmemTable& shmem) {
  const pid_t pid = calls_.pid();
  const auto actual = proc::parse_maps(read_file(fmt::format("/proc/{}/maps", pid)));
  const auto split = [&](const Vma& vma) {
    // A System V segment is attached as a whole.
    if (vma.is_special() || (vma.status & vma_status::kSysvIpc) != 0 || (vma.flags & MAP_GROWSDOWN) != 0) return false;
    const auto next = std::upper_bound(actual.begin(), actual.end(), vma.start,
                                       [](uint64_t at, const proc::MapsEntry& m) { return at < m.start; });
    return next != actual.end() && next->start < vma.end;
  };
  std::vector<std::pair<PageRange, std::vector<std::byte>>> saved;
  const Pagemap pagemap = Pagemap::open(pid);
  for (const Vma& vma : vmas_) {
    if (!split(vma) || (vma.flags & MAP_TYPE) == MAP_SHARED) continue;
    std::vector<PageRegion> regions;
    Pagemap::Query query;
    query.inverted = page_is::kGuard | page_is::kPfnZero;
    if (vma.backing != 0) query.inverted |= page_is::kFile;
    query.required = query.inverted;
    query.anyof = page_is::kPresent | page_is::kSwapped;
    if (pagemap.scan({vma.start, vma.end}, query, regions) != ScanStatus::ok) throw_gone(pid, "joining mappings");
    for (const PageRegion& region : regions) {
      std::vector<std::byte> bytes(region.range.bytes());
      read(region.range.start, bytes);
      saved.emplace_back(region.range, std::move(bytes));
    }
  }
  const img::mm_entry mm = mm_;
  if (std::erase_if(vmas_, split) == 0) return;
  apply_layout(mm, commit_charged, files, shmem);
  for (const auto& [range, bytes] : saved) write_pages({range}, bytes);
  if (!guards_.empty()) guard_pages(std::vector<PageRange>(guards_));
}

}  // namespace crx
