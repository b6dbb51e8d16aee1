// Waits for descriptors with a time limit: poll, ppoll, select, pselect, epoll_wait, epoll_pwait2.
#include "tests/victims/process/calls/timed.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>

static int ends[2], epoll;
static struct timespec length = {TIMED_SECONDS, 0};
static long by_poll(void) {
  struct pollfd one = {.fd = ends[0], .events = POLLIN};
  return poll(&one, 1, TIMED_SECONDS * 1000);
}
static long by_ppoll(void) {
  struct pollfd one = {.fd = ends[0], .events = POLLIN};
  return ppoll(&one, 1, &length, NULL);
}
static long by_select(void) {
  struct timeval limit = {TIMED_SECONDS, 0};
  fd_set in;
  FD_ZERO(&in);
  FD_SET(ends[0], &in);
  return select(ends[0] + 1, &in, NULL, NULL, &limit);
}
static long by_pselect(void) {
  fd_set in;
  FD_ZERO(&in);
  FD_SET(ends[0], &in);
  return pselect(ends[0] + 1, &in, NULL, NULL, &length, NULL);
}
static long by_epoll(void) {
  struct epoll_event got;
  return epoll_wait(epoll, &got, 1, TIMED_SECONDS * 1000);
}
static long by_epoll2(void) {
  struct epoll_event got;
  return epoll_pwait2(epoll, &got, 1, &length, NULL);
}
static long by_nothing(void) {
  return poll(NULL, 0, TIMED_SECONDS * 1000);
}

int main(int argc, char** argv) {
  static struct timed all[] = {{.name = "poll", .call = by_poll},           {.name = "ppoll", .call = by_ppoll},
                               {.name = "select", .call = by_select},       {.name = "pselect", .call = by_pselect},
                               {.name = "epoll_wait", .call = by_epoll},    {.name = "epoll_pwait2", .call = by_epoll2},
                               {.name = "poll-nothing", .call = by_nothing}};
  MUST(pipe(ends));
  epoll = MUST(epoll_create1(0));
  struct epoll_event event = {.events = EPOLLIN};
  MUST(epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event));
  return timed_main(argc, argv, all, sizeof all / sizeof *all);
}
