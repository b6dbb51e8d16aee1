// CPU affinity, different in each thread.
#include "tests/victims/victim.h"
static _Atomic int go;

static void* body(void* argument) {
  cpu_set_t mine, now;
  CPU_ZERO(&mine);
  CPU_SET((long)argument % sysconf(_SC_NPROCESSORS_ONLN), &mine);
  MUST(sched_setaffinity(0, sizeof mine, &mine));
  wait_change(&go, 0);
  MUST(sched_getaffinity(0, sizeof now, &now));
  CHECK(CPU_EQUAL(&mine, &now), "affinity of thread %ld", (long)argument);
  CHECK(CPU_ISSET((size_t)sched_getcpu(), &mine), "thread %ld runs on CPU %d", (long)argument, sched_getcpu());
  return NULL;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  pthread_t threads[3];
  cpu_set_t before, after;
  MUST(sched_getaffinity(0, sizeof before, &before));
  for (long i = 0; i < 3; i++) threads[i] = start_thread(body, (void*)i);
  victim_wait();
  MUST(sched_getaffinity(0, sizeof after, &after));
  CHECK(CPU_EQUAL(&before, &after), "affinity of main");
  go = 1;
  for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
  return victim_end();
}
