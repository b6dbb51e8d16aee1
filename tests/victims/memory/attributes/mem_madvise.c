// Every lasting kind of madvise: the VmFlags of each area are unchanged.
#include "tests/victims/victim.h"
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

int main(int argc, char** argv) {
  victim_start(argc, argv);
  static const int kinds[] = {MADV_NORMAL,   MADV_RANDOM,     MADV_SEQUENTIAL, MADV_DONTFORK,  MADV_MERGEABLE,
                              MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_DONTDUMP,   MADV_WIPEONFORK};
  enum { kKinds = sizeof kinds / sizeof *kinds };
  static char flags[kKinds + 2][256];
  char* areas[kKinds + 2];
  for (int i = 0; i < kKinds; i++) {
    areas[i] = map_anon(32 * PAGE);
    fill(areas[i], 16 * PAGE, (uint64_t)i);
    if (madvise(areas[i], 32 * PAGE, kinds[i]) != 0 && errno != EINVAL) MUST(-1);
  }
  areas[kKinds] = mmap(NULL, 32 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  areas[kKinds + 1] = mmap(NULL, 32 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  for (int i = 0; i < kKinds + 2; i++) vm_flags(areas[i], flags[i], sizeof *flags);

  victim_wait();

  for (int i = 0; i < kKinds + 2; i++) {
    char now[256];
    vm_flags(areas[i], now, sizeof now);
    CHECK(strcmp(now, flags[i]) == 0, "VmFlags of area %d are %s, not %s", i, now, flags[i]);
    if (i < kKinds) check_fill(areas[i], 16 * PAGE, (uint64_t)i, "content");
  }
  return victim_end();
}
