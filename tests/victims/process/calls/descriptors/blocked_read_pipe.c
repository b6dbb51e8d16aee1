// read from an empty pipe.
#include "tests/victims/process/calls/blocked.h"

static int ends[2];
static void set_up(void) {
  MUST(pipe(ends));
}
static long call(void) {
  char text[10];
  return read(ends[0], text, 10);
}
static void wake(void) {
  MUST(write(ends[1], "hello", 5));
}

int main(int argc, char** argv) {
  return blocked_main(argc, argv, &(struct blocked){.set_up = set_up, .call = call, .wake = wake, .want = 5});
}
