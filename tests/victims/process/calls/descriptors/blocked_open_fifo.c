// open of a FIFO that has no writer yet.
#include "tests/victims/process/calls/blocked.h"

static char path[4300];
static void set_up(void) {
  snprintf(path, sizeof path, "%s", own_path("fifo"));
  MUST(mkfifo(path, 0600));
}
static long call(void) {
  return open(path, O_RDONLY) >= 0;
}
static void wake(void) {
  MUST(open(path, O_WRONLY));
}

int main(int argc, char** argv) {
  return blocked_main(argc, argv, &(struct blocked){.set_up = set_up, .call = call, .wake = wake, .want = 1});
}
