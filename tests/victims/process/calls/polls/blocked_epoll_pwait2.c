// epoll_pwait2 without a timeout.
#include "tests/victims/process/calls/blocked.h"

#include <sys/epoll.h>
static int ends[2], epoll;
static void set_up(void) {
  MUST(pipe(ends));
  epoll = MUST(epoll_create1(0));
  struct epoll_event event = {.events = EPOLLIN};
  MUST(epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event));
}
static long call(void) {
  struct epoll_event got;
  return epoll_pwait2(epoll, &got, 1, NULL, NULL);
}
static void wake(void) {
  MUST(write(ends[1], "x", 1));
}

int main(int argc, char** argv) {
  return blocked_main(argc, argv, &(struct blocked){.set_up = set_up, .call = call, .wake = wake, .want = 1});
}
