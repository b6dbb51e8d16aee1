// read of an eventfd that is zero.
#include "tests/victims/process/calls/blocked.h"

#include <sys/eventfd.h>
static int fd;
static void set_up(void) {
  fd = MUST(eventfd(0, 0));
}
static long call(void) {
  uint64_t value = 0;
  return read(fd, &value, 8) == 8 ? (long)value : -1;
}
static void wake(void) {
  uint64_t value = 77;
  MUST(write(fd, &value, 8));
}

int main(int argc, char** argv) {
  return blocked_main(argc, argv, &(struct blocked){.set_up = set_up, .call = call, .wake = wake, .want = 77});
}
