// Guard pages (MADV_GUARD_INSTALL, Linux 6.13): touching one is still fatal, and its neighbours are intact.
#include "tests/victims/victim.h"

#include <setjmp.h>
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE 103
#endif

static sigjmp_buf back;
static void on_fault(int number) {
  siglongjmp(back, number);
}
static bool faults(volatile char* at) {
  if (sigsetjmp(back, 1) != 0) return true;
  (void)*at;
  return false;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  signal(SIGSEGV, on_fault);
  char* area = map_anon(64 * PAGE);
  fill(area, 64 * PAGE, 95);
  bool known = madvise(area + 10 * PAGE, 3 * PAGE, MADV_GUARD_INSTALL) == 0;
  if (known) {
    MUST(madvise(area, PAGE, MADV_GUARD_INSTALL));
    MUST(madvise(area + 63 * PAGE, PAGE, MADV_GUARD_INSTALL));
    CHECK(faults(area + 10 * PAGE), "no guard page to begin with");
  } else {
    CHECK(errno == EINVAL, "MADV_GUARD_INSTALL: %s", strerror(errno));
  }
  victim_wait();
  for (size_t i = 0; i < 64; i++) {
    bool guarded = known && ((i >= 10 && i < 13) || i == 0 || i == 63);
    CHECK(faults(area + i * PAGE) == guarded, "page %zu %s a guard page", i, guarded ? "is no longer" : "became");
    if (!guarded) CHECK(*(uint64_t*)(area + i * PAGE) == pattern(95, i * PAGE / 8), "content of page %zu", i);
  }
  if (known) {
    MUST(madvise(area, 64 * PAGE, MADV_GUARD_REMOVE));
    check_zero(area + 10 * PAGE, 3 * PAGE, "a removed guard page");
  }
  return victim_end();
}
