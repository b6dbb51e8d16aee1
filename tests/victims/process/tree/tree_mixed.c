// Threads that fork while others wait; children that share memory, an epoll set and its pipes with their parent's
// threads.
#include "tests/victims/process/tree/tree.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

static int ep, ev[8];
static _Atomic int* sum;
static _Atomic int ready, stop;
static void* taker(void* a) {
  (void)a;
  ready++;
  for (;;) {
    struct epoll_event e;
    int n = epoll_wait(ep, &e, 1, -1);
    if (n < 0) {
      victim_fail("epoll_wait: %s", strerror(errno));
      break;
    }
    uint64_t v;
    if (read(ev[e.data.u32], &v, 8) != 8) continue;
    if (v >= 1000) break;
    *sum += (int)v;
  }
  return 0;
}

static void* forker(void* a) {
  int i = (int)(long)a;
  pid_t p = fork();
  if (p == 0) {
    child_wait();
    uint64_t v = i + 1;
    for (int k = 0; k < 100; k++) MUST(write(ev[i], &v, 8));
    _exit(0);
  }
  ready++;
  while (!stop) {
    struct timespec t = {0, 3000000};
    nanosleep(&t, 0);
  }
  expect_exit(p, 0, "forked by a thread");
  return 0;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  sum = mmap(NULL, PAGE, 3, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ep = MUST(epoll_create1(0));
  for (int i = 0; i < 8; i++) {
    ev[i] = MUST(eventfd(0, EFD_SEMAPHORE | EFD_NONBLOCK));
    struct epoll_event e = {EPOLLIN | EPOLLEXCLUSIVE, {.u32 = i}};
    MUST(epoll_ctl(ep, EPOLL_CTL_ADD, ev[i], &e));
  }
  pthread_t t[16];
  for (long i = 0; i < 8; i++) t[i] = start_thread(taker, 0);
  for (long i = 0; i < 8; i++) t[8 + i] = start_thread(forker, (void*)i);
  while (ready != 16) sched_yield();

  victim_wait();

  stop = 1;
  for (int i = 8; i < 16; i++) pthread_join(t[i], 0);
  int64_t end = clock_ns(CLOCK_MONOTONIC) + 5000000000LL;
  while (*sum < 3600 && clock_ns(CLOCK_MONOTONIC) < end) sched_yield();
  CHECK_EQ(*sum, 3600, "sum");
  int q = MUST(eventfd(5000, EFD_NONBLOCK));
  (void)q;
  return victim_end();
}
