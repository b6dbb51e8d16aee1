// Attributes of single threads: parent-death signal, timer slack, I/O priority.
#include "tests/victims/victim.h"
static _Atomic int go, ready;

static void* body(void* argument) {
  int which = (int)(long)argument, value = 0;
  MUST(prctl(PR_SET_TIMERSLACK, 70000 + which));
  MUST((int)syscall(SYS_ioprio_set, 1, 0, 2 << 13 | (which + 1)));
  ready++;
  wait_change(&go, 0);
  CHECK_EQ(prctl(PR_GET_TIMERSLACK), 70000 + which, "timer slack of a thread");
  CHECK_EQ(syscall(SYS_ioprio_get, 1, 0), 2 << 13 | (which + 1), "I/O priority of a thread");
  MUST(prctl(PR_GET_PDEATHSIG, &value));
  CHECK_EQ(value, 0, "parent-death signal of a thread");
  return NULL;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  pthread_t threads[3];
  MUST((int)syscall(SYS_ioprio_set, 1, 0, 3 << 13));
  for (long i = 0; i < 3; i++) threads[i] = start_thread(body, (void*)i);
  while (ready != 3) sched_yield();
  victim_wait();
  CHECK_EQ(syscall(SYS_ioprio_get, 1, 0), 3 << 13, "I/O priority");
  go = 1;
  for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
  return victim_end();
}
