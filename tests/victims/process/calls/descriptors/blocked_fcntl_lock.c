// fcntl waits for an open-file-description lock (F_OFD_SETLKW) that another description holds.
#include "tests/victims/process/calls/blocked.h"

static int holder, waiter;
static struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
static void set_up(void) {
  holder = MUST(open(own_path("lock"), O_RDWR | O_CREAT, 0644));
  waiter = MUST(open(own_path("lock"), O_RDWR));
  MUST(fcntl(holder, F_OFD_SETLK, &whole));
}
static long call(void) {
  return fcntl(waiter, F_OFD_SETLKW, &whole);
}
static void wake(void) {
  struct flock none = whole;
  none.l_type = F_UNLCK;
  MUST(fcntl(holder, F_OFD_SETLK, &none));
}

int main(int argc, char** argv) {
  return blocked_main(argc, argv, &(struct blocked){.set_up = set_up, .call = call, .wake = wake, .want = 0});
}
