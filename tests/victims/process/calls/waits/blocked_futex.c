// futex wait without a timeout.
#include "tests/victims/process/calls/blocked.h"

#include <linux/futex.h>
static int word;
static void set_up(void) {}
static long call(void) {
  return syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
}
static void wake(void) {
  word = 1;
  while (syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0) == 0) sched_yield();
}

int main(int argc, char** argv) {
  return blocked_main(argc, argv, &(struct blocked){.set_up = set_up, .call = call, .wake = wake, .want = 0});
}
