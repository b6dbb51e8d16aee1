// semop (System V): both hosts share the IPC namespace.
#include "tests/victims/process/calls/blocked.h"

#include <sys/ipc.h>
#include <sys/sem.h>
static int set;
static void set_up(void) {
  set = MUST(semget(IPC_PRIVATE, 1, 0600));
}
static long call(void) {
  struct sembuf down = {0, -1, 0};
  return semop(set, &down, 1);
}
static void wake(void) {
  struct sembuf up = {0, 1, 0};
  MUST(semop(set, &up, 1));
  while (!blocked_state.done) sched_yield();
  MUST(semctl(set, 0, IPC_RMID));
}

int main(int argc, char** argv) {
  return blocked_main(argc, argv, &(struct blocked){.set_up = set_up, .call = call, .wake = wake, .want = 0});
}
