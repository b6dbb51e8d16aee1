// poll without a timeout, on a pipe.
#include "tests/victims/process/calls/blocked.h"

#include <poll.h>
static int ends[2];
static void set_up(void) {
  MUST(pipe(ends));
}
static long call(void) {
  struct pollfd one = {.fd = ends[0], .events = POLLIN};
  return poll(&one, 1, -1);
}
static void wake(void) {
  MUST(write(ends[1], "x", 1));
}

int main(int argc, char** argv) {
  return blocked_main(argc, argv, &(struct blocked){.set_up = set_up, .call = call, .wake = wake, .want = 1});
}
