// futex wait on shared memory.
#include "tests/victims/process/calls/blocked.h"

#include <linux/futex.h>
static int* word;
static void set_up(void) {
  word = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}
static long call(void) {
  return syscall(SYS_futex, word, FUTEX_WAIT, 0, NULL, NULL, 0);
}
static void wake(void) {
  *word = 1;
  while (syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0) == 0) sched_yield();
}

int main(int argc, char** argv) {
  return blocked_main(argc, argv, &(struct blocked){.set_up = set_up, .call = call, .wake = wake, .want = 0});
}
