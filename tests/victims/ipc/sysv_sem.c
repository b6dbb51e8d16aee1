// System V semaphores: values, number, key, permissions, and the adjustments that are undone when the process ends.
#include "tests/victims/victim.h"

#include <sys/ipc.h>
#include <sys/sem.h>

static void change(int set, unsigned short number, short by, short flags) {
  struct sembuf operation = {number, by, flags};
  MUST(semop(set, &operation, 1));
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  int named = MUST(semget(0x43525802, 3, IPC_CREAT | IPC_EXCL | 0660));
  unsigned short values[3] = {1, 20000, 0};
  MUST(semctl(named, 0, SETALL, values));
  change(named, 0, -1, SEM_UNDO);
  change(named, 2, 5, SEM_UNDO);
  int private = MUST(semget(IPC_PRIVATE, 1, 0600));
  MUST(semctl(private, 0, SETVAL, 3));

  victim_wait();

  CHECK_EQ(semget(0x43525802, 0, 0), named, "number behind the key");
  struct semid_ds status;
  MUST(semctl(named, 0, IPC_STAT, &status));
  CHECK_EQ(status.sem_nsems, 3, "semaphores");
  CHECK_EQ(status.sem_perm.mode & 0777, 0660, "mode");
  MUST(semctl(named, 0, GETALL, values));
  CHECK_EQ(values[0], 0, "first value");
  CHECK_EQ(values[1], 20000, "second value");
  CHECK_EQ(values[2], 5, "third value");
  CHECK_EQ(semctl(private, 0, GETVAL), 3, "value of the private one");
  change(named, 1, 1, SEM_UNDO);
  // Does what the end of the process would do.
  MUST(unshare(CLONE_SYSVSEM));
  MUST(semctl(named, 0, GETALL, values));
  CHECK_EQ(values[0], 1, "first value undone");
  CHECK_EQ(values[1], 20000, "second value undone");
  CHECK_EQ(values[2], 0, "third value undone");
  MUST(semctl(named, 0, IPC_RMID));
  MUST(semctl(private, 0, IPC_RMID));
  return victim_end();
}
