// Kernel interfaces for memory that Debian 12's headers (Linux 6.1) do not declare, as in include/uapi/linux.
#pragma once

#include <linux/fs.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <cstdint>

namespace crx::uapi {

// linux/fs.h, Linux 6.7: struct page_region.
struct PageRegion {
  uint64_t start;
  uint64_t end;
  uint64_t categories;
};
// linux/fs.h, Linux 6.7: struct pm_scan_arg.
struct ScanArg {
  uint64_t size;
  uint64_t flags;
  uint64_t start;
  uint64_t end;
  uint64_t walk_end;
  uint64_t vec;
  uint64_t vec_len;
  uint64_t max_pages;
  uint64_t category_inverted;
  uint64_t category_mask;
  uint64_t category_anyof_mask;
  uint64_t return_mask;
};
inline constexpr unsigned long kPagemapScan = _IOWR('f', 16, ScanArg);

// Linux 6.7: flags of pm_scan_arg.
inline constexpr uint64_t kScanWpMatching = 1 << 0;
inline constexpr uint64_t kScanCheckWpAsync = 1 << 1;

// /proc/PID/pagemap entries, Documentation/admin-guide/mm/pagemap.rst.
inline constexpr uint64_t kEntryPfnMask = (uint64_t{1} << 55) - 1;
inline constexpr uint64_t kEntrySoftDirty = uint64_t{1} << 55;
inline constexpr uint64_t kEntryExclusive = uint64_t{1} << 56;  // no other page table maps it
inline constexpr uint64_t kEntryUffdWp = uint64_t{1} << 57;     // Linux 5.14
inline constexpr uint64_t kEntryGuard = uint64_t{1} << 58;      // Linux 6.14
inline constexpr uint64_t kEntryFile = uint64_t{1} << 61;
inline constexpr uint64_t kEntrySwapped = uint64_t{1} << 62;
inline constexpr uint64_t kEntryPresent = uint64_t{1} << 63;

}  // namespace crx::uapi

#ifndef SHM_HUGE_SHIFT
#define SHM_HUGE_SHIFT 26  // Linux 3.8
#endif
#ifndef UFFD_FEATURE_WP_HUGETLBFS_SHMEM  // Linux 5.19
#define UFFD_FEATURE_WP_HUGETLBFS_SHMEM (1 << 12)
#endif
#ifndef UFFD_FEATURE_WP_UNPOPULATED  // Linux 6.4
#define UFFD_FEATURE_WP_UNPOPULATED (1 << 13)
#endif
#ifndef UFFD_FEATURE_WP_ASYNC  // Linux 6.7
#define UFFD_FEATURE_WP_ASYNC (1 << 15)
#endif
#ifndef UFFD_USER_MODE_ONLY  // Linux 5.11
#define UFFD_USER_MODE_ONLY 1
#endif
#ifndef MADV_GUARD_INSTALL  // Linux 6.13
#define MADV_GUARD_INSTALL 102
#endif
#ifndef MADV_GUARD_REMOVE  // Linux 6.13
#define MADV_GUARD_REMOVE 103
#endif
#ifndef MAP_DROPPABLE  // Linux 6.11
#define MAP_DROPPABLE 0x08
#endif
