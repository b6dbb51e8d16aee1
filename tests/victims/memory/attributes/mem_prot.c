// Protections: content in PROT_NONE and read-only memory is kept, and every protection still holds.
#include "tests/victims/victim.h"

#include <setjmp.h>

static sigjmp_buf back;
static void on_fault(int number) {
  siglongjmp(back, number);
}

static bool faults(volatile char* at, bool write) {
  if (sigsetjmp(back, 1) != 0) return true;
  if (write)
    *at = 1;
  else
    (void)*at;
  return false;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  signal(SIGSEGV, on_fault);
  char* area = map_anon(12 * PAGE);
  fill(area, 12 * PAGE, 7);
  char* code = area + 9 * PAGE;
  memcpy(code, "\xb8\x2a\x00\x00\x00\xc3", 6);  // mov $42,%eax; ret
  MUST(mprotect(area, 3 * PAGE, PROT_NONE));
  MUST(mprotect(area + 3 * PAGE, 3 * PAGE, PROT_READ));
  MUST(mprotect(code, 2 * PAGE, PROT_READ | PROT_EXEC));
  MUST(mprotect(area + 11 * PAGE, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC));
  char* reserve = mmap(NULL, 1UL << 40, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  MUST((long)reserve);

  victim_wait();

  CHECK(faults(area, false), "PROT_NONE memory can be read");
  CHECK(faults(area + 4 * PAGE, true), "read-only memory can be written");
  CHECK(!faults(area + 4 * PAGE, false), "read-only memory cannot be read");
  CHECK(faults(code, true), "code can be written");
  CHECK(faults(reserve + (1UL << 39), false), "the reserve can be read");
  CHECK_EQ(((int (*)(void))code)(), 42, "code in anonymous memory");
  MUST(mprotect(area, 12 * PAGE, PROT_READ | PROT_WRITE));
  check_fill(area, 9 * PAGE, 7, "content behind protections");
  CHECK_EQ(*(uint64_t*)(area + 11 * PAGE), pattern(7, 11 * PAGE / 8), "content of the writable code page");
  return victim_end();
}
