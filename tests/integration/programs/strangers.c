// strangers THREADS: threads that wait with time limits of 1 ms to 3 s (epoll_wait) and mostly get their event before,
// some thousand times a second in all. Prints "ready"; ends with its parent.
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

struct stranger {
  int event;
  unsigned seed;
};

static void* wait_on(void* argument) {
  struct stranger* me = argument;
  struct epoll_event event = {.events = EPOLLIN};
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  epoll_ctl(epoll, EPOLL_CTL_ADD, me->event, &event);
  for (;;) {
    uint64_t count;
    if (epoll_wait(epoll, &event, 1, 1 + rand_r(&me->seed) % 3000) == 1 && read(me->event, &count, sizeof count) < 0)
      break;
  }
  return NULL;
}

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const int threads = atoi(argv[1]);
  struct stranger* all = calloc((size_t)threads, sizeof *all);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (int i = 0; i < threads; i++) {
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 65536);
    all[i] = (struct stranger){eventfd(0, EFD_CLOEXEC), (unsigned)i};
    if (pthread_create(&thread, &attributes, wait_on, &all[i]) != 0) return 1;
  }
  puts("ready");
  fflush(stdout);
  const struct timespec step = {0, 5000000};
  for (unsigned seed = 1;;) {
    const uint64_t one = 1;
    for (int i = 0; i < 15; i++) {
      if (write(all[rand_r(&seed) % threads].event, &one, sizeof one) < 0) return 1;
    }
    nanosleep(&step, NULL);
  }
}
