// Mappings as the memory code sees them: where the content of their pages comes from, and which pages must be sent.
#pragma once

#include <sys/types.h>

#include <bit>
#include <cstdint>
#include <string>
#include <vector>

#include "common/base/page.hpp"
#include "common/plan/layout_difference.hpp"
#include "common/proc/maps.hpp"

namespace crx {

enum class VmaKind : uint8_t {
  private_anon,  // content: pages present or swapped out, except the zero page
  private_file,  // content: only the copies that writes have made; the rest is the file's
  shared_file,   // a real file, mapped shared: its content is the file's, nothing is sent
  shmem,     // shared anonymous memory, memfd or System V segment: an object, known by (dev, ino), that is sent once
  aio_ring,  // ring of io_setup(2): the kernel writes it past all page tables, so all of it is sent in the last round
  special,   // [vdso], [vvar], [vvar_vclock], [vsyscall]: the kernel's own
  device,    // a mapped device, secret memory or kernel object: cannot be moved
  hugetlb,   // a file on a hugetlbfs mount: cannot be moved; other memory in huge pages has `huge` instead
};

struct MemoryVma {
  PageRange range;
  VmaKind kind = VmaKind::private_anon;
  bool shared = false;
  bool anonymous_shared = false;  // shmem that no descriptor leads to: MAP_SHARED | MAP_ANONYMOUS
  uint64_t dev = 0;               // st_dev of the mapped object, 0 for none
  uint64_t ino = 0;
  uint64_t offset = 0;  // bytes from the object's start
  std::string name;     // the path of a file; used in messages
  // A number of the caller's making for everything else that makes the destination map an address anew when it changes
  // (flags that a mapping gets when it is made, the file's name).
  uint64_t birth = 0;
  // In huge pages (hugetlb): anonymous memory, a memfd, or a System V segment. The kernel never merges it with its
  // neighbours.
  bool huge = false;
  bool writable = false;  // at present
};

// Classifies one entry of /proc/PID/maps; reads nothing else.
MemoryVma classify_vma(const proc::MapsEntry& entry);
// Whether this is the object of a shared anonymous mapping, mapped shared or (through /proc/PID/map_files) privately.
bool is_anonymous_object(const proc::MapsEntry& entry);
std::vector<MemoryVma> classify_maps(const std::vector<proc::MapsEntry>& maps);

// The st_dev of the kernel's internal mount that holds shared anonymous memory, memfds and System V segments.
uint64_t shmem_device();

// The number that names a shared-memory object in images and on the wire. Objects in huge pages lie on mounts of their
// own, whose inode numbers begin at 1 as well, so a bit tells them apart.
inline constexpr uint64_t kHugeObjectBit = uint64_t{1} << 31;
inline uint64_t object_number(uint64_t dev, uint64_t ino) {
  return dev == shmem_device() ? ino : ino | kHugeObjectBit;
}
// The flags that choose huge pages of this size for MAP_HUGETLB or MFD_HUGETLB: its logarithm, shifted (mmap(2)).
inline uint32_t huge_size_flag(uint64_t page_bytes) {
  return static_cast<uint32_t>(std::countr_zero(page_bytes)) << 26;
}

// The size in bytes of the huge pages that anonymous memory, a System V segment or a memfd lies in. 0 if it uses normal
// pages, or if the mapping is gone (errno is set then).
uint64_t object_huge_page_bytes(pid_t pid, const proc::MapsEntry& map);

// Lists mappings of files on a hugetlbfs mount, ascending, by looking through /proc/PID/map_files. For preflight: the
// process is not touched. Mappings that are gone meanwhile are left out.
std::vector<PageRange> huge_file_mappings(pid_t pid, const std::vector<MemoryVma>& vmas);

// Whether the memory rounds treat the content as the process's own, page by page.
inline bool is_private(VmaKind kind) {
  return kind == VmaKind::private_anon || kind == VmaKind::private_file || kind == VmaKind::aio_ring;
}

// Identifies the bytes that the mapping shows. The destination maps an address anew when the identity changes.
MappingIdentity identity_of(const MemoryVma& vma);

// Returns the ranges of `now` where `before` had another mapping or none (renewed_ranges()). A vessel drops its pages
// there when it follows the layout. Both lists are ascending.
std::vector<PageRange> changed_ranges(const std::vector<MemoryVma>& before, const std::vector<MemoryVma>& now);

// Returns the ranges of all mappings for which `wanted` holds.
template <typename Predicate>
std::vector<PageRange> ranges_where(const std::vector<MemoryVma>& vmas, Predicate wanted) {
  std::vector<PageRange> out;
  for (const MemoryVma& vma : vmas) {
    if (wanted(vma)) append_range(out, vma.range);
  }
  return out;
}

}  // namespace crx
