// sleepers COUNTS THREADS: threads that sleep in calls which the kernel restarts by itself. Every handled signal
// SIGRTMIN adds one to the first number in the file COUNTS; every call that ends too early or with a wrong result adds
// one to the second.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static _Atomic uint64_t* counts;
static pthread_barrier_t started;  // until it is passed, a thread blocks all signals

static void handle(int signal) {
  (void)signal;
  atomic_fetch_add(&counts[0], 1);
}

static void* sleep_on(void* argument) {
  const long number = (long)argument;
  for (;;) {
    struct timespec before, after, left = {20 + number % 7, number * 1000};
    clock_gettime(CLOCK_MONOTONIC, &before);
    const int result = number % 2 ? poll(NULL, 0, (int)left.tv_sec * 1000) : nanosleep(&left, NULL);
    const int error = errno;
    clock_gettime(CLOCK_MONOTONIC, &after);
    const int early = result == 0 && after.tv_sec - before.tv_sec < 19;
    if (early || (result != 0 && error != EINTR)) atomic_fetch_add(&counts[1], 1);
  }
  return NULL;
}

static void* start(void* argument) {
  pthread_barrier_wait(&started);
  return sleep_on(argument);
}

int main(int argc, char** argv) {
  const int fd = open(argv[1], O_RDWR | O_CREAT, 0644);
  if (argc < 3 || fd < 0 || ftruncate(fd, 4096) != 0) return 1;
  counts = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  signal(SIGRTMIN, handle);
  pthread_barrier_init(&started, NULL, (unsigned)atol(argv[2]));
  for (long i = 1; i < atol(argv[2]); i++) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, start, (void*)i) != 0) return 2;
  }
  pthread_barrier_wait(&started);
  puts("ready");
  fflush(stdout);
  sleep_on(NULL);
}
