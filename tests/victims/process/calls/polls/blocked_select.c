// select without a timeout.
#include "tests/victims/process/calls/blocked.h"

#include <sys/select.h>
static int ends[2];
static void set_up(void) {
  MUST(pipe(ends));
}
static long call(void) {
  fd_set in;
  FD_ZERO(&in);
  FD_SET(ends[0], &in);
  return select(ends[0] + 1, &in, NULL, NULL, NULL);
}
static void wake(void) {
  MUST(write(ends[1], "x", 1));
}

int main(int argc, char** argv) {
  return blocked_main(argc, argv, &(struct blocked){.set_up = set_up, .call = call, .wake = wake, .want = 1});
}
