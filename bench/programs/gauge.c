// gauge GO-FILE MIB THREADS HOT-PAGES RATE-MB [idle]: the process that the benchmarks move.
//   MIB        memory, touched and filled with bytes that do not compress
//   THREADS    number of additional threads, each blocked in a futex
//   HOT-PAGES  these pages, spread evenly over the memory, are all written again every 5 ms
//   RATE-MB    MB/s of single pages written at random
// The main thread reads CLOCK_MONOTONIC every 50 us (idle: every 5 ms). Once the go file exists it prints the largest
// gap between two readings ("gap US") and ends; before that it prints "ready". SIGUSR1 resets the largest gap.
#define _GNU_SOURCE
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { kPage = 4096 };
static const int64_t kSliceNs = 5000000;

static volatile sig_atomic_t forget;
static uint32_t never;

static int64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static uint64_t random_word(uint64_t* state) {
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return *state;
}

static void on_signal(int number) {
  (void)number;
  forget = 1;
}

static void* blocked(void* unused) {
  (void)unused;
  for (;;) syscall(SYS_futex, &never, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
  return NULL;
}

int main(int argc, char** argv) {
  if (argc < 6) return 2;
  const int idle = argc > 6;
  const uint64_t pages = strtoull(argv[2], NULL, 10) * 256;
  const int threads = atoi(argv[3]);
  const uint64_t hot = strtoull(argv[4], NULL, 10);
  const uint64_t rate = strtoull(argv[5], NULL, 10) * 1000000 / kPage;
  uint64_t seed = 88172645463325252ULL;
  uint64_t* memory = NULL;
  if (pages > 0) {
    memory = mmap(NULL, pages * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return 3;
    for (uint64_t i = 0; i < pages * kPage / 8; i++) memory[i] = random_word(&seed);
  }
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 64 << 10);
  for (int i = 0; i < threads; i++) {
    pthread_t thread;
    if (pthread_create(&thread, &attributes, blocked, NULL) != 0) return 4;
  }
  signal(SIGUSR1, on_signal);
  if (write(1, "ready\n", 6) != 6) return 5;
  int64_t last = now_ns(), largest = 0, slice = last;
  double due = 0;
  for (uint64_t turn = 0;; turn++) {
    const int64_t now = now_ns();
    if (forget) {
      forget = 0;
      largest = 0;
    } else if (now - last > largest) {
      largest = now - last;
    }
    last = now;
    if (now - slice < kSliceNs) {
      nanosleep(&(struct timespec){0, 50000}, NULL);
      continue;
    }
    // The time of a stop is not made up for.
    due += (double)rate * (double)(now - slice < 2 * kSliceNs ? now - slice : kSliceNs) / 1e9;
    slice = now;
    for (uint64_t i = 0; i < hot; i++) memory[i * (pages / hot) * kPage / 8] = turn;
    for (; due >= 1; due -= 1) {
      uint64_t* page = memory + random_word(&seed) % pages * kPage / 8;
      for (int word = 0; word < 8; word++) page[word * 64] = random_word(&seed);
    }
    if (access(argv[1], F_OK) == 0) break;
    if (idle) nanosleep(&(struct timespec){0, kSliceNs}, NULL);
  }
  char text[64];
  const int length = snprintf(text, sizeof text, "gap %lld\n", (long long)(largest / 1000));
  return write(1, text, (size_t)length) == length ? 0 : 6;
}
