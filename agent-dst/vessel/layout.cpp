#include "agent-dst/vessel/layout.hpp"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <set>
#include <unordered_set>
#include <utility>

#include "common/base/error.hpp"
#include "common/image/magic.hpp"
#include "common/kernel/ipc/sysv_ipc.hpp"
#include "common/kernel/memory/uapi_memory.hpp"

namespace crx {
namespace {

constexpr uint32_t kKindBits = vma_status::kFilePrivate | vma_status::kFileShared | vma_status::kAnonShared |
                               vma_status::kAnonPrivate | vma_status::kVdso | vma_status::kVvar | vma_status::kMemfd |
                               vma_status::kSysvIpc;

Vma piece_of(Vma vma, uint64_t start, uint64_t end) {
  if (vma.backing != 0) vma.offset += start - vma.start;
  vma.start = start;
  vma.end = end;
  return vma;
}

const Vma* covering(const std::vector<Vma>& vmas, uint64_t addr) {
  const auto after =
      std::upper_bound(vmas.begin(), vmas.end(), addr, [](uint64_t a, const Vma& v) { return a < v.start; });
  if (after == vmas.begin()) return nullptr;
  const Vma& candidate = *std::prev(after);
  return addr < candidate.end ? &candidate : nullptr;
}

// Appends a change, or extends the last one where both are parts of one mapping.
void add_change(std::vector<LayoutChange>& list, LayoutChange next) {
  if (!list.empty()) {
    LayoutChange& last = list.back();
    const bool same = last.kind == next.kind && last.vma.end == next.vma.start;
    const bool joins =
        next.kind == LayoutChange::Kind::unmap ||
        (last.vma.prot == next.vma.prot && last.vma.commit_charged == next.vma.commit_charged &&
         last.vma.madvise == next.vma.madvise && last.vma.identity() == next.vma.identity() && !next.vma.is_special());
    if (same && joins) {
      last.vma.end = next.vma.end;
      return;
    }
  }
  list.push_back(next);
}

std::vector<MappedPiece> pieces_of(const std::vector<Vma>& vmas) {
  std::vector<MappedPiece> pieces;
  pieces.reserve(vmas.size());
  for (const Vma& vma : vmas) pieces.push_back({{vma.start, vma.end}, vma.identity()});
  return pieces;
}

bool covers(const std::vector<PageRange>& ranges, uint64_t addr) {
  const auto after =
      std::upper_bound(ranges.begin(), ranges.end(), addr, [](uint64_t a, const PageRange& r) { return a < r.start; });
  return after != ranges.begin() && addr < std::prev(after)->end;
}

// Adds the unmapping of those parts of mappings with huge pages that do not stay: huge pages can only be unmapped
// whole, so this comes first. The bounds of such mappings are multiples of the huge page size, and so are those of the
// parts. Returns the mappings that are left afterwards.
std::vector<Vma> unmap_huge(const std::vector<Vma>& before, const std::vector<PageRange>& kept,
                            std::vector<LayoutChange>& list) {
  std::vector<Vma> current;
  for (const Vma& have : before) {
    if (!have.is_huge()) {
      current.push_back(have);
      continue;
    }
    const std::vector<PageRange> all = {{have.start, have.end}};
    for (const PageRange& part : intersect(all, kept)) current.push_back(piece_of(have, part.start, part.end));
    for (const PageRange& gone : subtract(all, kept))
      add_change(list, {LayoutChange::Kind::unmap, piece_of(have, gone.start, gone.end)});
  }
  return current;
}

}  // namespace

uint32_t birth_flags(uint32_t flags) {
  constexpr uint32_t kAlways = MAP_SHARED | MAP_PRIVATE | MAP_DROPPABLE | MAP_GROWSDOWN | MAP_NORESERVE | MAP_HUGETLB;
  constexpr uint32_t kHugeSize = 0x3fU << 26;  // MAP_HUGE_MASK << MAP_HUGE_SHIFT
  return flags & ((flags & MAP_HUGETLB) != 0 ? kAlways | kHugeSize : kAlways);
}

Vma::Kind Vma::kind() const noexcept {
  if ((status & (vma_status::kVdso | vma_status::kVvar)) != 0) return Kind::special;
  if (is_huge()) return Kind::huge;
  if ((status & vma_status::kAnonPrivate) != 0) return Kind::anonymous;
  return (flags & MAP_TYPE) == MAP_PRIVATE ? Kind::file : Kind::shared;
}

bool Vma::is_huge() const noexcept {
  return (flags & MAP_HUGETLB) != 0;
}

bool Vma::is_droppable() const noexcept {
  return (flags & MAP_TYPE) == MAP_DROPPABLE;
}

MappingIdentity Vma::identity() const noexcept {
  MappingIdentity identity;
  identity.kind = status & kKindBits;
  identity.object = backing;
  if (backing != 0) identity.origin = offset - start;
  identity.birth = birth_flags(flags);
  return identity;
}

std::vector<Vma> vmas_of(const img::mm_entry& mm, const std::vector<uint64_t>& commit_charged) {
  const std::unordered_set<uint64_t> charged(commit_charged.begin(), commit_charged.end());
  std::vector<Vma> vmas;
  uint64_t last_end = 0;
  for (const img::vma_entry& entry : mm.vmas()) {
    const auto bad = [&](const char* why) {
      return Error(ErrorCode::corrupt_image, "reading the memory layout",
                   fmt::format("mapping {:x}-{:x} {}", entry.start(), entry.end(), why));
    };
    if ((entry.status() & vma_status::kVsyscall) != 0) continue;
    if (entry.start() % kPageSize != 0 || entry.end() % kPageSize != 0) throw bad("is not page-aligned");
    if (entry.start() < last_end || entry.end() <= entry.start()) throw bad("overlaps the one before it");
    if (entry.end() > kEndOfUserSpace) throw bad("lies outside user space");
    last_end = entry.end();
    if ((entry.status() & vma_status::kAioRing) != 0) {
      // The ring itself is made later (agent-dst/restore/memory/aio_rings.cpp). Until then plain memory at its address
      // holds its content.
      vmas.push_back({entry.start(), entry.end(), 0, 0, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                      vma_status::kRegular | vma_status::kAnonPrivate, 0});
      continue;
    }
    if ((entry.status() & kKindBits) == 0) throw bad("is of an unknown kind");
    Vma vma{entry.start(), entry.end(), 0, 0, entry.prot(), entry.flags(), entry.status(), entry.madv()};
    vma.commit_charged = charged.contains(vma.start);
    if ((entry.status() & vma_status::kAnonPrivate) == 0 && !vma.is_special()) {
      vma.offset = entry.pgoff();
      vma.backing = entry.shmid();
      if ((entry.status() & vma_status::kSysvIpc) != 0) vma.backing |= kSysvObjectBit;
    }
    vmas.push_back(vma);
  }
  return vmas;
}

std::vector<LayoutChange> changes(const std::vector<Vma>& before, const std::vector<Vma>& wanted) {
  std::vector<LayoutChange> all;
  const std::vector<PageRange> kept = kept_ranges(pieces_of(before), pieces_of(wanted));
  const std::vector<Vma> current = unmap_huge(before, kept, all);
  std::set<uint64_t> borders;
  for (const std::vector<Vma>* list : {&current, &wanted}) {
    for (const Vma& vma : *list) borders.insert({vma.start, vma.end});
  }
  std::vector<LayoutChange> unmaps, maps, protects, advices;
  for (auto it = borders.begin(); it != borders.end() && std::next(it) != borders.end(); ++it) {
    const uint64_t start = *it, end = *std::next(it);
    const Vma* have = covering(current, start);
    const Vma* want = covering(wanted, start);
    if (want == nullptr) {
      if (have != nullptr) add_change(unmaps, {LayoutChange::Kind::unmap, piece_of(*have, start, end)});
      continue;
    }
    const Vma piece = piece_of(*want, start, end);
    if (have != nullptr && covers(kept, start)) {
      if (want->is_special()) continue;
      if (have->prot != want->prot || (want->commit_charged && !have->commit_charged))
        add_change(protects, {LayoutChange::Kind::protect, piece});
      if (have->madvise != want->madvise) add_change(advices, {LayoutChange::Kind::advise, piece});
    } else {
      if (have != nullptr && want->is_special()) add_change(unmaps, {LayoutChange::Kind::unmap, piece});
      add_change(maps, {LayoutChange::Kind::map, piece});
    }
  }
  for (auto* list : {&unmaps, &maps, &protects, &advices}) all.insert(all.end(), list->begin(), list->end());
  return all;
}

uint64_t find_gap(const std::vector<Vma>& vmas, uint64_t bytes) {
  constexpr std::array<uint64_t, 4> kCandidates{0x3f0000000000, 0x2e0000000000, 0x1d0000000000, 0x50000000000};
  const auto is_free = [&](uint64_t at) {
    return std::none_of(vmas.begin(), vmas.end(), [&](const Vma& v) { return v.start < at + bytes && at < v.end; });
  };
  for (const uint64_t at : kCandidates) {
    if (is_free(at)) return at;
  }
  uint64_t at = 0x100000;
  for (const Vma& vma : vmas) {
    if (vma.start >= at + bytes) return at;
    at = std::max(at, vma.end);
  }
  if (at + bytes <= kEndOfUserSpace) return at;
  throw Error(ErrorCode::unsupported, "placing the arena", "the address space has no gap for it");
}

}  // namespace crx
