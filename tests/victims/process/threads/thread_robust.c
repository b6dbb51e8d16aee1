// Robust futexes: when a thread ends after the move without unlocking, the others are notified.
#include "tests/victims/victim.h"
static _Atomic int go, locked;
static pthread_mutex_t mutex;
static void* head[2];

static void* body(void* unused) {
  size_t length;
  pthread_mutex_lock(&mutex);
  MUST((int)syscall(SYS_get_robust_list, 0, &head[0], &length));
  locked = 1;
  wait_change(&go, 0);
  MUST((int)syscall(SYS_get_robust_list, 0, &head[1], &length));
  return unused;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(&mutex, &attributes);
  pthread_t thread = start_thread(body, NULL);
  wait_change(&locked, 0);
  victim_wait();
  CHECK(pthread_mutex_trylock(&mutex) == EBUSY, "the mutex is free");
  go = 1;
  CHECK_EQ(pthread_mutex_lock(&mutex), EOWNERDEAD, "lock of a mutex whose owner died");
  pthread_join(thread, NULL);
  CHECK(head[0] == head[1] && head[0] != NULL, "robust list head %p, not %p", head[1], head[0]);
  return victim_end();
}
