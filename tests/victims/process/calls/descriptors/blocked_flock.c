// flock that another descriptor of the same process holds.
#include "tests/victims/process/calls/blocked.h"

#include <sys/file.h>
static int holder, waiter;
static void set_up(void) {
  holder = MUST(open(own_path("lock"), O_RDWR | O_CREAT, 0644));
  waiter = MUST(open(own_path("lock"), O_RDWR));
  MUST(flock(holder, LOCK_EX));
}
static long call(void) {
  return flock(waiter, LOCK_EX);
}
static void wake(void) {
  MUST(flock(holder, LOCK_UN));
}

int main(int argc, char** argv) {
  return blocked_main(argc, argv, &(struct blocked){.set_up = set_up, .call = call, .wake = wake, .want = 0});
}
