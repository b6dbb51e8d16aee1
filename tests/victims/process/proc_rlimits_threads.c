// Threads and children of a user that has reached its limit of processes.
#include "tests/victims/process/tree/tree.h"

static _Atomic int state;
static void* body(void* a) {
  (void)a;
  state++;
  while (state < 100) {
    struct timespec t = {0, 3000000};
    nanosleep(&t, 0);
  }
  return 0;
}

static int child(void* a) {
  (void)a;
  child_wait();
  return 3;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  MUST(setresgid(4322, 4322, 4322));
  MUST(setresuid(4322, 4322, 4322));
  pthread_t t[5];
  for (int i = 0; i < 5; i++) t[i] = start_thread(body, 0);
  while (state != 5) sched_yield();
  pid_t p[4];
  for (int i = 0; i < 4; i++) p[i] = spawn(child, 0);
  struct rlimit l = {10, 10};
  MUST(setrlimit(RLIMIT_NPROC, &l));
  CHECK(fork() == -1 && errno == EAGAIN, "the limit does not hold before");

  victim_wait();

  CHECK(fork() == -1 && errno == EAGAIN, "the limit does not hold");
  for (int i = 0; i < 4; i++) expect_exit(p[i], 3, "child");
  state = 100;
  for (int i = 0; i < 5; i++) pthread_join(t[i], 0);
  return victim_end();
}
