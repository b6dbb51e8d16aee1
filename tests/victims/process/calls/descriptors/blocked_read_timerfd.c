// read of a timerfd that is not armed until after the move.
#include "tests/victims/process/calls/blocked.h"

#include <sys/timerfd.h>
static int fd;
static void set_up(void) {
  fd = MUST(timerfd_create(CLOCK_MONOTONIC, 0));
}
static long call(void) {
  uint64_t value = 0;
  return read(fd, &value, 8) == 8 ? (long)value : -1;
}
static void wake(void) {
  struct itimerspec soon = {{0, 0}, {0, 1000000}};
  MUST(timerfd_settime(fd, 0, &soon, NULL));
}

int main(int argc, char** argv) {
  return blocked_main(argc, argv, &(struct blocked){.set_up = set_up, .call = call, .wake = wake, .want = 1});
}
