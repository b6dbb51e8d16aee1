// A process's page tables, seen from outside: /proc/PID/pagemap and its PAGEMAP_SCAN.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "common/base/fd.hpp"
#include "common/base/page.hpp"

namespace crx {

// What PAGEMAP_SCAN says of a page (bits of Pagemap::Query and PageRegion). Documentation/admin-guide/mm/pagemap.rst.
namespace page_is {
inline constexpr uint64_t kWpAllowed = 1 << 0;  // its VMA is registered in asynchronous write-protect mode
inline constexpr uint64_t kWritten = 1 << 1;    // does not carry the write-protect mark
inline constexpr uint64_t kFile = 1 << 2;       // a page of a file or shared object; costs 5 ms per GiB to ask for
inline constexpr uint64_t kPresent = 1 << 3;
inline constexpr uint64_t kSwapped = 1 << 4;  // a swap, migration or marker entry (guard, write-protect marker)
inline constexpr uint64_t kPfnZero = 1 << 5;  // the zero page (a huge one, too)
inline constexpr uint64_t kHuge = 1 << 6;
inline constexpr uint64_t kSoftDirty = 1 << 7;
inline constexpr uint64_t kGuard = 1 << 8;  // Linux 6.15; never seen on older kernels
}  // namespace page_is

struct PageRegion {
  PageRange range;
  uint64_t categories = 0;  // those of Query::returned that hold
  bool operator==(const PageRegion&) const = default;
};

enum class ScanStatus {
  ok,
  not_tracked,  // (rearm only) the range holds a VMA that is not registered. Pages before it HAVE been re-armed and
                // their marks are lost: the caller must treat the whole range as written.
  gone,         // this address space has ended: see mm_fate()
};

// What a kernel offers, asked once per process of ours.
struct PagemapFeatures {
  bool scan = false;        // PAGEMAP_SCAN, Linux 6.7
  bool guard = false;       // page_is::kGuard, Linux 6.15
  bool soft_dirty = false;  // CONFIG_MEM_SOFT_DIRTY
};

// One opened /proc/PID/pagemap: stays with the address space that PID had when it was opened, also across exec.
// Any thread; the process may run or be stopped and is not disturbed.
class Pagemap {
 public:
  // A page matches when ((categories ^ inverted) & required) == required and, unless anyof is 0,
  // ((categories ^ inverted) & anyof) != 0. Matching costs about 12 ns a page, not matching about 2 ns: ask for
  // the exceptions.
  struct Query {
    uint64_t required = 0;
    uint64_t anyof = 0;
    uint64_t inverted = 0;
    uint64_t returned = 0;
    bool rearm = false;  // write-protect what matches, and fail where that is not possible
  };

  // Needs ptrace access to pid. Throws Error, victim_gone when there is no such process.
  static Pagemap open(pid_t pid);
  // Probes once and remembers.
  static const PagemapFeatures& features();

  // Appends the matching regions of `range` to `regions`: ascending, disjoint, neighbours with equal categories
  // merged. What `regions` held before must lie below `range`. kGuard is dropped from a query where the kernel
  // does not know it. Without PAGEMAP_SCAN the plain entries are read instead (rearm is then unsupported).
  // Throws Error(kernel) on anything that ScanStatus does not name.
  [[nodiscard]] ScanStatus scan(PageRange range, Query query, std::vector<PageRegion>& regions) const;

  // The plain 64-bit entries (uapi::kEntry...), one per page of the range; the page frame needs CAP_SYS_ADMIN.
  // Shorter than the range at the end of the address space, empty when the address space is gone.
  std::vector<uint64_t> entries(PageRange range) const;

  pid_t pid() const noexcept { return pid_; }
  // This address space has ended: its process did, or executed another program.
  bool ended() const { return entries({0, kPageSize}).empty(); }

 private:
  Pagemap(Fd fd, pid_t pid) : fd_(std::move(fd)), pid_(pid) {}
  ScanStatus scan_entries(PageRange range, const Query& query, std::vector<PageRegion>& regions) const;
  Fd fd_;
  pid_t pid_ = 0;
};

// Why an address space that pid had is gone: the process ended (or is a zombie), or it lives with a new one.
enum class MmFate { exited, replaced };
MmFate mm_fate(pid_t pid);

}  // namespace crx
