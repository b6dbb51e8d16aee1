// Memory at the lowest and the highest possible addresses; a brk that ends within a page, shrunk and grown again.
#include "tests/victims/victim.h"

int main(int argc, char** argv) {
  victim_start(argc, argv);
  char* low = mmap((void*)0x10000, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  if (low == MAP_FAILED) victim_setup_failed("low", __LINE__);
  char* high =
      mmap((void*)0x7fffffffe000, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  if (high == MAP_FAILED) victim_setup_failed("high", __LINE__);
  fill(low, 2 * PAGE, 1);
  fill(high, PAGE, 2);
  char* b = sbrk(0);
  MUST(brk(b + 10 * PAGE + 123));
  memset(b, 7, 10 * PAGE + 123);
  MUST(brk(b + 3 * PAGE + 77));

  victim_wait();

  check_fill(low, 2 * PAGE, 1, "low");
  check_fill(high, PAGE, 2, "high");
  CHECK_EQ((long)sbrk(0), (long)b + 3 * PAGE + 77, "brk");
  for (unsigned long i = 0; i < 3 * PAGE + 77; i++)
    if (b[i] != 7) {
      victim_fail("brk byte %ld", i);
      break;
    }
  MUST(brk(b + 10 * PAGE));
  check_zero(b + 4 * PAGE, 6 * PAGE, "grown again");
  MUST(munmap(low, 2 * PAGE));
  return victim_end();
}
