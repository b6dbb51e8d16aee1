// Signal masks, different in each thread.
#include "tests/victims/victim.h"
static _Atomic int go;

static void* body(void* argument) {
  sigset_t mask, now;
  sigemptyset(&mask);
  for (int i = 1; i < 64; i++)
    if (pattern((uint64_t)(long)argument, (uint64_t)i) % 2) sigaddset(&mask, i);
  pthread_sigmask(SIG_SETMASK, &mask, NULL);
  pthread_sigmask(SIG_BLOCK, NULL, &mask);  // read back, since the kernel may have changed it
  wait_change(&go, 0);
  pthread_sigmask(SIG_BLOCK, NULL, &now);
  for (int i = 1; i < 65; i++)
    CHECK(sigismember(&mask, i) == sigismember(&now, i), "thread %ld: signal %d", (long)argument, i);
  return NULL;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  pthread_t threads[4];
  for (long i = 0; i < 4; i++) threads[i] = start_thread(body, (void*)(i + 1));
  victim_wait();
  go = 1;
  for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
  return victim_end();
}
