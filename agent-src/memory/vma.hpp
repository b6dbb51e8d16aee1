// Mappings as the memory work sees them: where page content comes from and what of it has to travel.
#pragma once

#include <sys/types.h>

#include <bit>
#include <cstdint>
#include <string>
#include <vector>

#include "common/base/page.hpp"
#include "common/proc/maps.hpp"

namespace crx {

enum class VmaKind : uint8_t {
  private_anon,  // content: pages present or swapped, except the zero page
  private_file,  // content: only the anonymous copies made by writes; the rest is the file's
  shared_file,   // a real file, mapped shared: its content is the file's, nothing is sent
  shmem,         // shared anonymous memory, memfd or System V: an object by (dev, ino), sent once
  aio_ring,      // of io_setup: the kernel writes it past all page tables; content: all of it, in the last round
  special,       // [vdso], [vvar], [vvar_vclock], [vsyscall]: the kernel's own
  device,        // a mapped device, secret memory or kernel object: cannot be carried
  hugetlb,       // files in huge pages: not supported
};

struct MemoryVma {
  PageRange range;
  VmaKind kind = VmaKind::private_anon;
  bool shared = false;
  bool anonymous_shared = false;  // shmem that no descriptor led to: MAP_SHARED | MAP_ANONYMOUS
  uint64_t dev = 0;               // st_dev of what is mapped, 0 for none
  uint64_t ino = 0;
  uint64_t offset = 0;  // bytes into it
  std::string name;     // the path of a file; for messages
  // What else would make the destination map an address anew when it changes (flags a mapping is born with, the
  // file's name), as one number of the caller's making.
  uint64_t birth = 0;
  bool huge = false;  // in huge pages (hugetlb): anonymous memory, a memfd, or a System V segment. Never one mapping
                      // with its neighbours
  bool writable = false;  // as it is now
};

MemoryVma classify_vma(const proc::MapsEntry& entry);
// Of the object of a shared anonymous mapping, mapped shared or (by way of /proc/PID/map_files) privately.
bool is_anonymous_object(const proc::MapsEntry& entry);
std::vector<MemoryVma> classify_maps(const std::vector<proc::MapsEntry>& maps);

// st_dev of the kernel's internal mount that holds shared anonymous memory, memfd and System V segments.
uint64_t shmem_device();

// The number under which images and wire know a shared-memory object. Those in huge pages lie on mounts of their own,
// which number their inodes from 1 as the other does.
inline constexpr uint64_t kHugeObjectBit = uint64_t{1} << 31;
inline uint64_t object_number(uint64_t dev, uint64_t ino) {
  return dev == shmem_device() ? ino : ino | kHugeObjectBit;
}
// MAP_HUGETLB (MFD_HUGETLB) flags for pages of this size: its logarithm (mmap(2)).
inline uint32_t huge_size_flag(uint64_t page_bytes) {
  return static_cast<uint32_t>(std::countr_zero(page_bytes)) << 26;
}

// The size of the huge pages that anonymous memory, a System V segment or a memfd lies in; 0 where its pages are those
// of usual shared memory, or the mapping has gone (errno says so).
uint64_t object_huge_page_bytes(pid_t pid, const proc::MapsEntry& map);

// For preflight, before anything is touched: mappings of files on a filesystem of huge pages, ascending. Looks through
// /proc/PID/map_files; what has gone since is left out.
std::vector<PageRange> huge_file_mappings(pid_t pid, const std::vector<MemoryVma>& vmas);

inline bool is_private(VmaKind kind) {
  return kind == VmaKind::private_anon || kind == VmaKind::private_file || kind == VmaKind::aio_ring;
}

// Ranges of `now` where `before` had another mapping or none: other kind, file, object, offset or birth. What a
// vessel held there it drops when it follows the layout. Both lists ascending.
std::vector<PageRange> changed_ranges(const std::vector<MemoryVma>& before, const std::vector<MemoryVma>& now);

// The ranges of all mappings for which `wanted` holds.
template <typename Predicate>
std::vector<PageRange> ranges_where(const std::vector<MemoryVma>& vmas, Predicate wanted) {
  std::vector<PageRange> out;
  for (const MemoryVma& vma : vmas) {
    if (wanted(vma)) append_range(out, vma.range);
  }
  return out;
}

}  // namespace crx
