#include "agent-src/memory/vma.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include <map>
#include <string_view>

#include "common/base/error.hpp"
#include "common/base/fd.hpp"
#include "common/kernel/ipc/sysv_ipc.hpp"

namespace crx {
namespace {

VmaKind object_kind(bool shared) {
  return shared ? VmaKind::shmem : VmaKind::private_file;
}

// Whether this is MAP_ANONYMOUS | MAP_HUGETLB memory: a file on a mount of the kernel's own, one per size of huge
// pages.
bool is_huge_anonymous(const proc::MapsEntry& entry) {
  return entry.kind == proc::MapKind::file && entry.deleted && entry.dev_major == 0 && entry.name == "/anon_hugepage";
}

VmaKind file_kind(bool shared, std::string_view path) {
  if (path.starts_with("/dev/hugepages/")) return VmaKind::hugetlb;
  if (path.starts_with("/secretmem")) return VmaKind::device;
  // A private mapping of /dev/zero is anonymous memory with a name.
  if (path == "/dev/zero" && !shared) return VmaKind::private_file;
  if (path.starts_with("/dev/") && !path.starts_with("/dev/shm/")) return VmaKind::device;
  return shared ? VmaKind::shared_file : VmaKind::private_file;
}

VmaKind kind_of(const proc::MapsEntry& entry) {
  switch (entry.kind) {
    case proc::MapKind::anonymous:
    case proc::MapKind::heap:
    case proc::MapKind::stack:
      return entry.has_inode() ? file_kind(entry.shared, {}) : VmaKind::private_anon;
    case proc::MapKind::vdso:
    case proc::MapKind::vvar:
    case proc::MapKind::vvar_vclock:
    case proc::MapKind::vsyscall:
      return VmaKind::special;
    case proc::MapKind::shared_anonymous:
    case proc::MapKind::memfd:
    case proc::MapKind::sysv_shm:
      return object_kind(entry.shared);
    case proc::MapKind::anon_inode:
      return VmaKind::device;
    case proc::MapKind::aio_ring:
      return VmaKind::aio_ring;
    case proc::MapKind::other:
      return VmaKind::device;  // an unknown name: refusing it is better than losing content
    case proc::MapKind::file:
      break;
  }
  if (is_huge_anonymous(entry)) return entry.shared ? VmaKind::shmem : VmaKind::private_anon;
  return file_kind(entry.shared, entry.name);
}

std::vector<MappedPiece> pieces_of(const std::vector<MemoryVma>& vmas) {
  std::vector<MappedPiece> pieces;
  pieces.reserve(vmas.size());
  for (const MemoryVma& vma : vmas) pieces.push_back({vma.range, identity_of(vma)});
  return pieces;
}

}  // namespace

uint64_t shmem_device() {
  static const uint64_t device = [] {
    const Fd fd(::memfd_create("crx-probe", MFD_CLOEXEC));
    struct stat st {};
    if (!fd || ::fstat(fd.get(), &st) != 0) throw_errno("probing shared memory", "memfd_create");
    return static_cast<uint64_t>(st.st_dev);
  }();
  return device;
}

bool is_anonymous_object(const proc::MapsEntry& entry) {
  if (entry.kind == proc::MapKind::shared_anonymous) return true;
  return entry.kind == proc::MapKind::file && entry.deleted && entry.name == "/dev/zero" &&
         ::makedev(entry.dev_major, entry.dev_minor) == shmem_device();
}

MemoryVma classify_vma(const proc::MapsEntry& entry) {
  const uint64_t dev = entry.has_inode() ? ::makedev(entry.dev_major, entry.dev_minor) : 0;
  const bool huge_anonymous = is_huge_anonymous(entry);
  const bool anonymous_shared = entry.kind == proc::MapKind::shared_anonymous || (huge_anonymous && entry.shared);
  const bool is_segment = entry.kind == proc::MapKind::sysv_shm;
  const bool huge = huge_anonymous || ((is_segment || entry.kind == proc::MapKind::memfd) && dev != shmem_device());
  uint64_t ino = entry.inode;
  if (is_segment) {
    ino |= kSysvObjectBit;
  } else if (huge) {
    ino |= kHugeObjectBit;
  }
  return {{entry.start, entry.end},
          kind_of(entry),
          entry.shared,
          anonymous_shared,
          dev,
          ino,
          entry.pgoff,
          entry.name,
          0,
          huge,
          entry.writable};
}

std::vector<MemoryVma> classify_maps(const std::vector<proc::MapsEntry>& maps) {
  std::vector<MemoryVma> vmas;
  vmas.reserve(maps.size());
  for (const proc::MapsEntry& entry : maps) vmas.push_back(classify_vma(entry));
  return vmas;
}

uint64_t object_huge_page_bytes(pid_t pid, const proc::MapsEntry& map) {
  struct stat st {};
  if (::makedev(map.dev_major, map.dev_minor) == shmem_device()) return 0;
  const std::string link = fmt::format("/proc/{}/map_files/{:x}-{:x}", pid, map.start, map.end);
  // A hugetlbfs mount reports the size of its huge pages as its block size.
  return ::stat(link.c_str(), &st) == 0 ? static_cast<uint64_t>(st.st_blksize) : 0;
}

std::vector<PageRange> huge_file_mappings(pid_t pid, const std::vector<MemoryVma>& vmas) {
  std::vector<PageRange> found;
  std::map<uint64_t, bool> huge;  // keyed by device
  for (const MemoryVma& vma : vmas) {
    const bool file = vma.kind == VmaKind::shared_file || vma.kind == VmaKind::private_file;
    if (!file || vma.huge || vma.dev == shmem_device()) continue;
    if (!huge.contains(vma.dev)) {
      struct statfs fs {};
      const std::string link = fmt::format("/proc/{}/map_files/{:x}-{:x}", pid, vma.range.start, vma.range.end);
      if (::statfs(link.c_str(), &fs) != 0) continue;
      huge[vma.dev] = fs.f_type == HUGETLBFS_MAGIC;
    }
    if (huge[vma.dev]) found.push_back(vma.range);
  }
  return found;
}

MappingIdentity identity_of(const MemoryVma& vma) {
  MappingIdentity identity;
  identity.kind = static_cast<uint64_t>(vma.kind) << 1 | (vma.shared ? 1U : 0U);
  identity.birth = vma.birth;
  // The inode of private huge pages means nothing outside the kernel; their size is part of `birth`.
  if (vma.kind == VmaKind::private_anon) return identity;
  identity.device = vma.dev;
  identity.object = vma.ino;
  identity.origin = vma.offset - vma.range.start;
  return identity;
}

std::vector<PageRange> changed_ranges(const std::vector<MemoryVma>& before, const std::vector<MemoryVma>& now) {
  return renewed_ranges(pieces_of(before), pieces_of(now));
}

}  // namespace crx
