// write into a full pipe.
#include "tests/victims/process/calls/blocked.h"

static int ends[2];
static char room[65536];
static void set_up(void) {
  MUST(pipe(ends));
  MUST(write(ends[1], room, sizeof room));
}
static long call(void) {
  return write(ends[1], room, 4096);
}
static void wake(void) {
  static char more[65536 + 4096];
  size_t got = 0;
  while (got < sizeof more) got += (size_t)MUST(read(ends[0], more, sizeof more - got));
}

int main(int argc, char** argv) {
  return blocked_main(argc, argv, &(struct blocked){.set_up = set_up, .call = call, .wake = wake, .want = 4096});
}
