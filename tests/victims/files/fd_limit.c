// 2,000 descriptors of many kinds, as many as RLIMIT_NOFILE allows.
#include "tests/victims/victim.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

int main(int argc, char** argv) {
  victim_start(argc, argv);
  struct rlimit l = {2000, 2000};
  MUST(setrlimit(RLIMIT_NOFILE, &l));
  int ep = MUST(epoll_create1(0)), n = 0, spare = MUST(dup(0));
  for (;;) {
    int fds[2] = {-1, -1};
    int r;
    switch (n++ % 6) {
      case 0:
        r = fds[0] = eventfd(n, EFD_NONBLOCK);
        break;
      case 1:
        r = pipe(fds);
        if (r == 0) {
          MUST(write(fds[1], &n, sizeof n));
        }
        break;
      case 2:
        r = socketpair(AF_UNIX, SOCK_STREAM, 0, fds);
        if (r == 0) MUST(write(fds[0], &n, sizeof n));
        break;
      case 3:
        r = fds[0] = open("/dev/null", O_RDWR);
        break;
      case 4:
        r = fds[0] = dup(ep);
        break;
      default:
        r = fds[0] = open("/proc/self/exe", O_RDONLY);
        if (r >= 0) lseek(r, n, SEEK_SET);
        break;
    }
    if (r < 0) break;
    for (int i = 0; i < 2; i++)
      if (fds[i] >= 0 && n % 6 < 4) {
        struct epoll_event e = {EPOLLIN, {.u64 = fds[i]}};
        epoll_ctl(ep, EPOLL_CTL_ADD, fds[i], &e);
      }
  }
  CHECK(errno == EMFILE, "before: %s", strerror(errno));
  close(spare);

  victim_wait();

  int s = dup(0);
  CHECK(s >= 0, "one is free: %s", strerror(errno));
  CHECK(dup(0) >= 0 || errno == EMFILE, "next");
  struct epoll_event got[2000];
  int k = epoll_wait(ep, got, 2000, 0);
  CHECK(k > 300, "ready: %d", k);
  return victim_end();
}
