// Threads that are created and end all the time while the process is moved.
#include "tests/victims/victim.h"
static _Atomic int stop;
static _Atomic long born;

static void* brief(void* argument) {
  return (char*)argument + 1;
}
static void* maker(void* argument) {
  while (!atomic_load(&stop)) {
    pthread_t threads[3];
    for (long i = 0; i < 3; i++) threads[i] = start_thread(brief, (void*)i);
    for (long i = 0; i < 3; i++) {
      void* result;
      CHECK(pthread_join(threads[i], &result) == 0 && result == (void*)(i + 1), "a thread's result is wrong");
    }
    born += 3;
    struct timespec step = {0, 1000000};
    nanosleep(&step, NULL);
  }
  return argument;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  victim_loose_maps = victim_loose_status = true;
  pthread_t one = start_thread(maker, NULL), two = start_thread(maker, NULL);
  victim_wait();
  long before = born;
  while (born < before + 30) sched_yield();
  stop = 1;
  pthread_join(one, NULL);
  pthread_join(two, NULL);
  return victim_end();
}
