// Threads in futex_waitv, FUTEX_WAIT_REQUEUE_PI, FUTEX_WAIT_BITSET without and with an absolute time limit.
#include "tests/victims/victim.h"

#include <linux/futex.h>

static _Atomic uint32_t w[4], pi;
static _Atomic int n;

// struct futex_waitv
struct waiter {
  uint64_t value, address;
  uint32_t flags, reserved;
};

static void* body(void* a) {
  long i = (long)a;
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  t.tv_sec += 20;
  long r;
  n++;
  errno = 0;
  if (i == 0) {
    struct waiter v[2] = {{0, (uintptr_t)&w[0], 2 | 128, 0}, {0, (uintptr_t)&w[3], 2 | 128, 0}};
    r = syscall(449, v, 2, 0, &t, CLOCK_MONOTONIC);
    CHECK(r == 0, "waitv %ld %s", r, strerror(errno));
  }
  if (i == 1) {
    r = syscall(SYS_futex, &w[1], FUTEX_WAIT_REQUEUE_PI | FUTEX_PRIVATE_FLAG, 0, &t, &pi, 0);
    CHECK(r == 0, "requeue_pi %ld %s", r, strerror(errno));
    if (r == 0) syscall(SYS_futex, &pi, FUTEX_UNLOCK_PI | FUTEX_PRIVATE_FLAG, 0, 0, 0, 0);
  }
  if (i == 2) {
    r = syscall(SYS_futex, &w[2], FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, 0, &t, 0, 4);
    CHECK(r == 0, "bitset %ld %s", r, strerror(errno));
  }
  return 0;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  pthread_t t[3];
  for (long i = 0; i < 3; i++) t[i] = start_thread(body, (void*)i);
  while (n != 3) sched_yield();
  victim_loose_status = true;

  victim_wait();

  CHECK_EQ(syscall(SYS_futex, &w[0], FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, 0, 0, 0), 1, "woken 0");
  CHECK_EQ(syscall(SYS_futex, &w[1], FUTEX_CMP_REQUEUE_PI | FUTEX_PRIVATE_FLAG, 1, 5, &pi, 0), 1, "requeued");
  CHECK_EQ(syscall(SYS_futex, &w[2], FUTEX_WAKE_BITSET | FUTEX_PRIVATE_FLAG, 1, 0, 0, 2), 0, "other bit");
  CHECK_EQ(syscall(SYS_futex, &w[2], FUTEX_WAKE_BITSET | FUTEX_PRIVATE_FLAG, 1, 0, 0, 4), 1, "bit");
  for (int i = 0; i < 3; i++) pthread_join(t[i], 0);
  return victim_end();
}
