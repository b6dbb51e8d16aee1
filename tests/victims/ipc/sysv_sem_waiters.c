// Several processes wait for semaphores, each for another amount and one for zero, and get them in turn.
#include "tests/victims/process/tree/tree.h"

#include <sys/sem.h>

static int id;
static _Atomic int* order;
static int waiter(void* a) {
  int n = (int)(long)a;
  struct sembuf b = {n == 4 ? 1 : 0, (short)(n == 4 ? 0 : -n), 0};
  CHECK(semop(id, &b, 1) == 0, "semop %d: %s", n, strerror(errno));
  order[1 + atomic_fetch_add(&order[0], 1)] = n;
  return child_failures();
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  order = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  id = MUST(semget(IPC_PRIVATE, 2, 0600));
  MUST(semctl(id, 1, SETVAL, 2));
  MUST(semctl(id, 0, SETVAL, 0));
  pid_t p[5];
  for (long i = 1; i <= 4; i++) {
    p[i] = spawn(waiter, (void*)i);
    while (semctl(id, 0, GETNCNT) + semctl(id, 1, GETZCNT) != i) sched_yield();
  }

  victim_wait();

  CHECK_EQ(semctl(id, 0, GETNCNT), 3, "waiters");
  CHECK_EQ(semctl(id, 1, GETZCNT), 1, "zero waiters");
  struct sembuf b = {0, 1, 0};
  MUST(semop(id, &b, 1));
  expect_exit(p[1], 0, "1");
  b.sem_op = 2;
  MUST(semop(id, &b, 1));
  expect_exit(p[2], 0, "2");
  b.sem_op = 3;
  MUST(semop(id, &b, 1));
  expect_exit(p[3], 0, "3");
  struct sembuf d = {1, -2, 0};
  MUST(semop(id, &d, 1));
  expect_exit(p[4], 0, "zero");
  CHECK_EQ(order[0], 4, "all");
  semctl(id, 0, IPC_RMID);
  return victim_end();
}
