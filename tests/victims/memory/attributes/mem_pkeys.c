// Memory protection keys; on a CPU without them, that they are still absent.
#include "tests/victims/victim.h"

#include <setjmp.h>

static sigjmp_buf back;
static void on_fault(int number) {
  siglongjmp(back, number);
}
static bool write_faults(volatile char* at) {
  if (sigsetjmp(back, 1) != 0) return true;
  *at = 1;
  return false;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  signal(SIGSEGV, on_fault);
  char* area = map_anon(4 * PAGE);
  fill(area, 4 * PAGE, 15);
  int key = pkey_alloc(0, 0);
  if (key < 0) {
    int error = errno;
    victim_wait();
    CHECK(pkey_alloc(0, 0) == -1, "protection keys appeared (%s before)", strerror(error));
    check_fill(area, 4 * PAGE, 15, "content");
    return victim_end();
  }
  pkey_set(key, PKEY_DISABLE_WRITE);
  int other = MUST(pkey_alloc(0, 0));
  MUST(pkey_mprotect(area, 2 * PAGE, PROT_READ | PROT_WRITE, key));
  victim_wait();
  check_fill(area, 4 * PAGE, 15, "content");
  CHECK(write_faults(area), "the key no longer protects");
  CHECK(!write_faults(area + 2 * PAGE), "memory without a key became protected");
  CHECK_EQ(pkey_get(key), PKEY_DISABLE_WRITE, "rights of the key");
  pkey_set(key, 0);
  CHECK(!write_faults(area), "the key cannot be opened");
  int fresh = pkey_alloc(0, 0);
  CHECK(fresh != key && fresh != other, "an allocated key was given out again");
  return victim_end();
}
