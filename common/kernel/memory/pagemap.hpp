// The page tables of a process, read from outside: /proc/PID/pagemap and its ioctl PAGEMAP_SCAN.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "common/base/fd.hpp"
#include "common/base/page.hpp"

namespace crx {

// The page categories of PAGEMAP_SCAN (bits of Pagemap::Query and PageRegion):
// Documentation/admin-guide/mm/pagemap.rst.
namespace page_is {
inline constexpr uint64_t kWpAllowed = 1 << 0;  // its VMA is registered in asynchronous write-protect mode
// does not carry the write-protect mark, so it has been written since the last re-arming scan
inline constexpr uint64_t kWritten = 1 << 1;
inline constexpr uint64_t kFile = 1 << 2;  // a page of a file or shared memory object; asking for it costs 5 ms per GiB
inline constexpr uint64_t kPresent = 1 << 3;
inline constexpr uint64_t kSwapped = 1 << 4;  // a swap, migration or marker entry (guard, write-protect marker)
inline constexpr uint64_t kPfnZero = 1 << 5;  // the kernel's zero page, also a huge one
inline constexpr uint64_t kHuge = 1 << 6;
inline constexpr uint64_t kSoftDirty = 1 << 7;
inline constexpr uint64_t kGuard = 1 << 8;  // Linux 6.15; never reported by older kernels
}  // namespace page_is

struct PageRegion {
  PageRange range;
  uint64_t categories = 0;  // those categories of Query::returned that apply
  bool operator==(const PageRegion&) const = default;
};

enum class ScanStatus {
  ok,
  // (rearm only) the range contains a VMA that is not registered. Pages before it HAVE been re-armed and their marks
  // are lost: the caller must treat the whole range as written.
  not_tracked,
  gone,  // this address space has ended: see mm_fate()
};

// The features of the running kernel, probed once per crx process.
struct PagemapFeatures {
  bool scan = false;        // PAGEMAP_SCAN, Linux 6.7
  bool guard = false;       // page_is::kGuard, Linux 6.15
  bool soft_dirty = false;  // CONFIG_MEM_SOFT_DIRTY
};

// One open /proc/PID/pagemap. It stays bound to the address space that PID had when it was opened, also across execve.
// Usable from any thread; the process may run or be stopped and is not disturbed.
class Pagemap {
 public:
  // A page matches when ((categories ^ inverted) & required) == required and, unless anyof is 0, ((categories ^
  // inverted) & anyof) != 0. A matching page costs about 12 ns, one that does not match about 2 ns, so queries should
  // match the exceptions.
  struct Query {
    uint64_t required = 0;
    uint64_t anyof = 0;
    uint64_t inverted = 0;
    uint64_t returned = 0;
    bool rearm = false;  // write-protects the matching pages; the scan fails where that is not possible
  };

  // Needs ptrace access to pid. Throws Error; victim_gone when there is no such process.
  static Pagemap open(pid_t pid);
  // Probes on the first call and remembers the result.
  static const PagemapFeatures& features();

  // Appends the matching regions of `range` to `regions`: ascending and disjoint; neighbours with equal categories are
  // merged. Regions that are in `regions` already must lie below `range`. kGuard is dropped from a query when the
  // kernel does not know it. Without PAGEMAP_SCAN the plain entries are read instead (rearm is then unsupported).
  // Throws Error(kernel) for any failure that ScanStatus does not name.
  [[nodiscard]] ScanStatus scan(PageRange range, Query query, std::vector<PageRegion>& regions) const;

  // Reads the plain 64-bit entries (bits `kEntry...` of namespace uapi), one per page of the range; the page frame
  // number needs CAP_SYS_ADMIN. The result is shorter than the range at the end of the address space, and empty when
  // the address space has ended.
  std::vector<uint64_t> entries(PageRange range) const;

  pid_t pid() const noexcept { return pid_; }
  // True when this address space has ended: its process exited or called execve.
  bool ended() const { return entries({0, kPageSize}).empty(); }

 private:
  Pagemap(Fd fd, pid_t pid) : fd_(std::move(fd)), pid_(pid) {}
  ScanStatus scan_entries(PageRange range, const Query& query, std::vector<PageRegion>& regions) const;
  Fd fd_;
  pid_t pid_ = 0;
};

// Why an address space that pid had is gone. exited: the process ended (or is a zombie). replaced: it lives and has
// another address space, by execve.
enum class MmFate { exited, replaced };
MmFate mm_fate(pid_t pid);

}  // namespace crx
