// Mappings as the memory work sees them: where page content comes from and what of it has to travel.
#pragma once

#include <sys/types.h>

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
  special,       // [vdso], [vvar], [vvar_vclock], [vsyscall]: the kernel's own
  device,        // a mapped device, secret memory or kernel object: cannot be carried
  hugetlb,       // not supported yet
};

struct MemoryVma {
  PageRange range;
  VmaKind kind = VmaKind::private_anon;
  bool shared = false;
  bool anonymous_shared = false;  // shmem that no descriptor led to: MAP_SHARED | MAP_ANONYMOUS
  uint64_t dev = 0;     // st_dev of what is mapped, 0 for none
  uint64_t ino = 0;
  uint64_t offset = 0;  // bytes into it
  std::string name;     // the path of a file; for messages
  // What else would make the destination map an address anew when it changes (flags a mapping is born with, the
  // file's name), as one number of the caller's making.
  uint64_t birth = 0;
};

MemoryVma classify_vma(const proc::MapsEntry& entry);
std::vector<MemoryVma> classify_maps(const std::vector<proc::MapsEntry>& maps);

// st_dev of the kernel's internal mount that holds shared anonymous memory, memfd and System V segments.
uint64_t shmem_device();

// A mapping that cannot be moved, and why ("/dev/dri/card0", "a mapped device").
struct UnsupportedVma {
  PageRange range;
  std::string name;
  std::string reason;
};
// For preflight, before anything is touched: all such mappings of a process. Looks at the filesystems of mapped
// files too (huge pages on a mount of the user's), through /proc/PID/map_files; what has gone since is left out.
std::vector<UnsupportedVma> unsupported_vmas(pid_t pid, const std::vector<MemoryVma>& vmas);

inline bool is_private(VmaKind kind) { return kind == VmaKind::private_anon || kind == VmaKind::private_file; }

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
