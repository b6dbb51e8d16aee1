#include "agent-src/collect/memory/memory_map.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "agent-src/collect/ipc/sysv_ipc.hpp"
#include "agent-src/collect/kind/file_table.hpp"
#include "common/base/digest.hpp"
#include "common/base/error.hpp"
#include "common/image/magic.hpp"
#include "common/kernel/memory/aio_ring.hpp"
#include "common/kernel/memory/uapi_memory.hpp"
#include "common/proc/stat.hpp"
#include "common/proc/status.hpp"
#include "common/proc/text.hpp"

namespace crx {
namespace {

struct AdviceFlag {
  const char* vm_flag;
  int advice;
};
constexpr AdviceFlag kAdviceFlags[] = {
    {"sr", MADV_SEQUENTIAL}, {"rr", MADV_RANDOM},   {"dc", MADV_DONTFORK},   {"dd", MADV_DONTDUMP},
    {"mg", MADV_MERGEABLE},  {"hg", MADV_HUGEPAGE}, {"nh", MADV_NOHUGEPAGE}, {"wf", 18 /* MADV_WIPEONFORK */},
};

bool has_flag(const std::string& flags, const char* flag) {
  for (std::size_t at = 0; at + 1 < flags.size(); at += 3) {
    if (flags.compare(at, 2, flag) == 0) return true;
  }
  return false;
}

uint32_t special_status(proc::MapKind kind) {
  switch (kind) {
    case proc::MapKind::vdso:
      return vma_status::kRegular | vma_status::kVdso | vma_status::kAnonPrivate;
    case proc::MapKind::vvar:
    case proc::MapKind::vvar_vclock:
      return vma_status::kRegular | vma_status::kVvar | vma_status::kAnonPrivate;
    case proc::MapKind::aio_ring:
      return vma_status::kAioRing;
    case proc::MapKind::vsyscall:
      return vma_status::kVsyscall | vma_status::kAnonPrivate;
    default:
      return 0;
  }
}

// The kernel prints the file in pieces, and a process that maps and unmaps meanwhile can show an area twice; then the
// file is read again.
std::vector<proc::MapsEntry> read_maps(const std::string& proc) {
  for (int turn = 0; turn < 100; ++turn) {
    if (auto entries = proc::try_parse_maps(read_file(proc + "maps"))) return std::move(*entries);
  }
  return proc::parse_torn_maps(read_file(proc + "maps"));
}

std::vector<proc::SmapsEntry> read_smaps(const std::string& proc) {
  return proc::parse_smaps(read_file(proc + "smaps"));
}

}  // namespace

MemoryMap::MemoryMap(pid_t pid, FileTable& files)
    : pid_(pid), proc_("/proc/" + std::to_string(pid) + "/"), files_(files), mapped_(pid, files) {}

void MemoryMap::read(const FrozenTask* ours) {
  maps_ = read_maps(proc_);
  if (maps_.empty()) throw_gone(pid_, "reading the mappings");
  if (ours != nullptr) std::erase_if(maps_, [&](const proc::MapsEntry& m) { return ours->is_arena(m.start); });
  vmas_ = classify_maps(maps_);
  note_births();
}

void MemoryMap::read_flags() {
  smaps_ = read_smaps(proc_);
  note_births();
}

bool MemoryMap::flags_are_current() const {
  return std::all_of(maps_.begin(), maps_.end(), [&](const proc::MapsEntry& m) {
    const auto at = std::partition_point(smaps_.begin(), smaps_.end(),
                                         [&](const proc::SmapsEntry& entry) { return entry.map.start < m.start; });
    return at != smaps_.end() && at->map.start == m.start && at->map.end == m.end;
  });
}

const proc::SmapsEntry* MemoryMap::details_of(const proc::MapsEntry& map) const {
  auto at = std::partition_point(smaps_.begin(), smaps_.end(),
                                 [&](const proc::SmapsEntry& entry) { return entry.map.end <= map.start; });
  for (; at != smaps_.end() && at->map.start < map.end; ++at) {
    // Allocators often move the bounds of their mappings; the mappings keep the flags they were made with.
    if (at->map.kind == map.kind && at->map.inode == map.inode && at->map.shared == map.shared) return &*at;
  }
  return nullptr;
}

const std::string* MemoryMap::flags_of(const proc::MapsEntry& map) const {
  const proc::SmapsEntry* details = details_of(map);
  return details == nullptr ? nullptr : &details->vm_flags;
}

void MemoryMap::note_births() {
  for (std::size_t i = 0; i < maps_.size(); ++i) {
    const std::string* flags = flags_of(maps_[i]);
    const bool grows = flags != nullptr ? has_flag(*flags, "gd") : maps_[i].kind == proc::MapKind::stack;
    const bool no_reserve = flags != nullptr && has_flag(*flags, "nr");
    const bool droppable = flags != nullptr && has_flag(*flags, "dp");
    const uint64_t bits = (grows ? 1U : 0U) | (no_reserve ? 2U : 0U) | (maps_[i].deleted ? 4U : 0U) |
                          (droppable ? 8U : 0U) | (vmas_[i].huge ? vmas_[i].dev << 8 : 0U);
    vmas_[i].birth = digest64(std::string_view(maps_[i].has_inode() ? maps_[i].name : std::string()), bits);
  }
}

uint64_t MemoryMap::resident_bytes() const {
  const proc::Stat stat = proc::parse_stat(read_file(proc_ + "stat"));
  return static_cast<uint64_t>(std::max<int64_t>(stat.rss, 0)) * kPageSize;
}

std::vector<Refusal> MemoryMap::refusals() const {
  std::vector<Refusal> found;
  const std::vector<PageRange> huge = huge_file_mappings(pid_, vmas_);
  for (std::size_t i = 0; i < maps_.size(); ++i) {
    const proc::MapsEntry& map = maps_[i];
    const std::string object = fmt::format("pid {} mapping {:x}-{:x} ({})", pid_, map.start, map.end, map.name);
    const bool huge_file =
        std::any_of(huge.begin(), huge.end(), [&](const PageRange& range) { return range.start == map.start; });
    if (map.kind == proc::MapKind::sysv_shm && !is_attached_whole(map)) {
      found.push_back(
          {object, "System V shared memory that is attached in part cannot move", "attach the segment as a whole"});
    } else if (vmas_[i].kind == VmaKind::hugetlb || huge_file) {
      found.push_back({object, "files in huge pages cannot move",
                       "let the program use anonymous memory, a memfd or a System V segment (MAP_HUGETLB)"});
    } else if (map.kind == proc::MapKind::other && map.name.starts_with("uprobes")) {
      found.push_back({object, "uprobes are active in it", "remove the probes"});
    } else if (vmas_[i].kind == VmaKind::device) {
      found.push_back({object, "a mapped device or kernel object cannot move", "close what maps it"});
    }
  }
  return found;
}

std::vector<HugeMapping> MemoryMap::huge_mappings() {
  std::vector<HugeMapping> found;
  if (std::none_of(vmas_.begin(), vmas_.end(), [](const MemoryVma& vma) { return vma.huge; })) return found;
  if (!flags_are_current()) read_flags();
  for (std::size_t i = 0; i < maps_.size(); ++i) {
    if (!vmas_[i].huge) continue;
    const std::string* flags = flags_of(maps_[i]);
    try {
      found.push_back({vmas_[i].range, vmas_[i].shared, flags == nullptr || !has_flag(*flags, "nr"), vmas_[i].ino,
                       vmas_[i].offset, mapped_.huge_page_bytes(maps_[i])});
    } catch (const Error& error) {
      if (error.err() != ENOENT && error.err() != ESRCH) throw;
    }
  }
  return found;
}

uint32_t MemoryMap::memfd_file(const proc::MapsEntry& map) {
  const bool read_only = map.shared && !map.writable && flags_of(map) != nullptr && !may_become_writable(map);
  return mapped_.memfd(map, read_only ? O_RDONLY : O_RDWR);
}

// Returns the file entry of the memfd that is the executable, 0 if it is none; the memfd is mapped, too.
uint32_t MemoryMap::memfd_that_runs(const std::string& exe) {
  struct stat st {};
  if (!exe.starts_with("/memfd:") || ::stat((proc_ + "exe").c_str(), &st) != 0) return 0;
  const auto is_it = [&](const proc::MapsEntry& map) {
    return map.kind == proc::MapKind::memfd && map.inode == st.st_ino;
  };
  const auto mapped = std::find_if(maps_.begin(), maps_.end(), is_it);
  return mapped == maps_.end() ? 0 : memfd_file(*mapped);
}

bool MemoryMap::may_become_writable(const proc::MapsEntry& map) const {
  const std::string* flags = flags_of(map);
  return flags != nullptr && has_flag(*flags, "mw");
}

std::vector<img::crx_vma_entry> MemoryMap::attributes() const {
  std::vector<img::crx_vma_entry> all;
  for (const proc::MapsEntry& map : maps_) {
    const std::string* flags = flags_of(map);
    const bool on_fault = flags != nullptr && has_flag(*flags, "lf");
    const bool sealed = flags != nullptr && has_flag(*flags, "sl");
    const bool named = map.kind == proc::MapKind::anonymous && !map.has_inode() && !map.name.empty();
    const proc::SmapsEntry* details = details_of(map);
    // The kernel itself assigns a key to memory that can only be executed.
    const uint32_t key = details == nullptr || map.prot() == PROT_EXEC ? 0 : details->protection_key;
    if (!on_fault && !sealed && !named && key == 0) continue;
    img::crx_vma_entry& entry = all.emplace_back();
    entry.set_start(map.start);
    entry.set_end(map.end);
    if (on_fault) entry.set_locked_on_fault(true);
    if (key != 0) entry.set_pkey(key);
    if (sealed) entry.set_sealed(true);
    if (named) entry.set_name(map.name);
  }
  return all;
}

bool MemoryMap::is_attached_whole(const proc::MapsEntry& map) const {
  const uint64_t base = map.start - map.pgoff;
  uint64_t covered = base;
  for (const proc::MapsEntry& other : maps_) {
    const bool part = other.kind == map.kind && other.inode == map.inode && other.start - other.pgoff == base;
    if (part && other.start == covered) covered = other.end;
  }
  return covered - base >= look_at_segment(static_cast<int>(map.inode)).size;
}

void MemoryMap::describe_segment_of(const proc::MapsEntry& map, img::vma_entry& entry) {
  entry.set_shmid(map.inode);
  entry.set_status(vma_status::kRegular | vma_status::kSysvIpc);
  const bool listed =
      std::any_of(segments_.begin(), segments_.end(), [&](const auto& s) { return s.desc().id() == map.inode; });
  if (listed) return;
  const uint64_t huge_page_bytes = (entry.flags() & MAP_HUGETLB) != 0 ? mapped_.huge_page_bytes(map) : 0;
  segments_.push_back(describe_segment(look_at_segment(static_cast<int>(map.inode)), huge_page_bytes));
}

void MemoryMap::describe_backing(const proc::MapsEntry& map, const MemoryVma& vma, img::vma_entry& entry) {
  using namespace vma_status;
  if (vma.huge) entry.set_flags(entry.flags() | MAP_HUGETLB | huge_size_flag(mapped_.huge_page_bytes(map)));
  if (vma.huge && map.kind == proc::MapKind::file) {  // not a file, but anonymous memory
    entry.set_flags(entry.flags() | MAP_ANONYMOUS);
    entry.set_status(kRegular | (map.shared ? kAnonShared : kAnonPrivate));
    if (map.shared) entry.set_shmid(vma.ino);
    return;
  }
  if (map.kind == proc::MapKind::memfd) {
    entry.set_shmid(memfd_file(map));
    entry.set_status(kRegular | kMemfd | (map.shared ? kFileShared : kFilePrivate));
  } else if (map.kind == proc::MapKind::sysv_shm) {
    return describe_segment_of(map, entry);
  } else if (is_anonymous_object(map)) {
    entry.set_shmid(map.inode);
    entry.set_status(kRegular | kAnonShared);
    entry.set_flags(entry.flags() | MAP_ANONYMOUS);
  } else {
    // A shared mapping that may become writable comes from a file that is open for writing.
    const bool may_write = map.writable || may_become_writable(map);
    const uint32_t access = map.shared && may_write ? O_RDWR : O_RDONLY;
    entry.set_shmid(mapped_.file(map, vma, access));
    entry.set_status(kRegular | (map.shared ? kFileShared : kFilePrivate));
  }
  if ((entry.status() & kAnonShared) == 0) file_ids_.push_back(static_cast<uint32_t>(entry.shmid()));
}

void MemoryMap::describe_vma(const proc::MapsEntry& map, const MemoryVma& vma, img::vma_entry& entry) {
  entry.set_start(map.start);
  entry.set_end(map.end);
  entry.set_pgoff(map.pgoff);
  entry.set_shmid(0);
  entry.set_prot(static_cast<uint32_t>(map.prot()));
  entry.set_flags(map.shared ? MAP_SHARED : MAP_PRIVATE);
  entry.set_fd(-1);
  if (const uint32_t special = special_status(map.kind); special != 0) {
    entry.set_status(special);
  } else if (map.has_inode()) {
    describe_backing(map, vma, entry);
  } else {
    entry.set_status(vma_status::kRegular | vma_status::kAnonPrivate |
                     (map.kind == proc::MapKind::heap ? vma_status::kHeap : 0));
    entry.set_flags(MAP_PRIVATE | MAP_ANONYMOUS);
  }
  const std::string* flags = flags_of(map);
  if (flags == nullptr) {
    if (map.kind == proc::MapKind::stack) entry.set_flags(entry.flags() | MAP_GROWSDOWN);
    return;
  }
  if (!map.shared && !map.writable && has_flag(*flags, "ac")) commit_charged_.push_back(map.start);
  if (has_flag(*flags, "dp")) entry.set_flags((entry.flags() & ~static_cast<uint32_t>(MAP_PRIVATE)) | MAP_DROPPABLE);
  if (has_flag(*flags, "gd")) entry.set_flags(entry.flags() | MAP_GROWSDOWN);
  if (has_flag(*flags, "nr")) entry.set_flags(entry.flags() | MAP_NORESERVE);
  if (has_flag(*flags, "lo")) entry.set_flags(entry.flags() | MAP_LOCKED);
  uint64_t advice = 0;
  for (const AdviceFlag& known : kAdviceFlags) {
    if (has_flag(*flags, known.vm_flag)) advice |= uint64_t{1} << known.advice;
  }
  if (advice != 0) entry.set_madv(advice);
}

void MemoryMap::describe_fields(img::mm_entry& mm) {
  const proc::Stat stat = proc::parse_stat(read_file(proc_ + "stat"));
  mm.set_mm_start_code(stat.start_code);
  mm.set_mm_end_code(stat.end_code);
  mm.set_mm_start_data(stat.start_data);
  mm.set_mm_end_data(stat.end_data);
  mm.set_mm_start_stack(stat.start_stack);
  mm.set_mm_start_brk(stat.start_brk);
  uint64_t brk = stat.start_brk;
  for (const proc::MapsEntry& map : maps_) {
    if (map.kind == proc::MapKind::heap) brk = std::max(brk, map.end);
  }
  mm.set_mm_brk(brk);
  mm.set_mm_arg_start(stat.arg_start);
  mm.set_mm_arg_end(stat.arg_end);
  mm.set_mm_env_start(stat.env_start);
  mm.set_mm_env_end(stat.env_end);
  const std::string auxv = read_file(proc_ + "auxv");
  for (std::size_t at = 0; at + 8 <= auxv.size(); at += 8) {
    uint64_t word = 0;
    std::memcpy(&word, auxv.data() + at, 8);
    mm.add_mm_saved_auxv(word);
  }
  std::string exe = read_link(proc_ + "exe");
  const bool deleted = exe.ends_with(proc::kDeleted);
  if (deleted) exe.resize(exe.size() - proc::kDeleted.size());
  const uint32_t memfd = memfd_that_runs(exe);
  mm.set_exe_file_id(memfd != 0 ? memfd : files_.add_path(proc_ + "exe", exe, deleted, O_RDONLY));
  file_ids_.push_back(mm.exe_file_id());
}

const img::mm_entry& MemoryMap::describe() {
  file_ids_.clear();
  mapped_.forget_memfds();
  segments_.clear();
  commit_charged_.clear();
  img::mm_entry mm;
  describe_fields(mm);
  for (std::size_t i = 0; i < maps_.size(); ++i) {
    describe_vma(maps_[i], vmas_[i], *mm.add_vmas());
    if (maps_[i].kind != proc::MapKind::aio_ring) continue;
    img::aio_ring_entry& ring = *mm.add_aios();
    ring.set_id(maps_[i].start);
    ring.set_nr_req(aio_ring_request(maps_[i].bytes()));
    ring.set_ring_len(static_cast<uint32_t>(maps_[i].bytes()));
  }
  std::sort(file_ids_.begin(), file_ids_.end());
  file_ids_.erase(std::unique(file_ids_.begin(), file_ids_.end()), file_ids_.end());
  description_ = std::move(mm);
  return description_;
}

}  // namespace crx
