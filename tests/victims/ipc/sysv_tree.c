// Two processes that share System V objects: memory, a semaphore that one of them waits for, a queue, and their
// adjustments.
#include "tests/victims/victim.h"

#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

static void change(int set, unsigned short number, short by, short flags) {
  struct sembuf operation = {number, by, flags};
  MUST(semop(set, &operation, 1));
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  int segment = MUST(shmget(IPC_PRIVATE, 3 * PAGE, 0600));
  volatile int* shared = shmat(segment, NULL, 0);
  if (shared == (void*)-1) victim_setup_failed("shmat", __LINE__);
  MUST(shmctl(segment, IPC_RMID, NULL));
  int set = MUST(semget(IPC_PRIVATE, 3, 0600));
  unsigned short values[3] = {0, 5, 5};
  MUST(semctl(set, 0, SETALL, values));
  int queue = MUST(msgget(IPC_PRIVATE, 0600));
  change(set, 1, -1, SEM_UNDO);
  pid_t child = MUST(fork());
  if (child == 0) {
    change(set, 2, -2, SEM_UNDO);
    shared[0] = 1;
    change(set, 0, -1, 0);  // waits for its parent
    shared[1] = shared[2] + 1;
    struct {
      long type;
      char text[8];
    } message = {4, "tree"};
    MUST(msgsnd(queue, &message, 8, 0));
    _exit(0);
  }
  while (shared[0] != 1) sched_yield();
  while (semctl(set, 0, GETNCNT) != 1) sched_yield();

  victim_wait();

  MUST(semctl(set, 0, GETALL, values));
  CHECK_EQ(values[0], 0, "first value");
  CHECK_EQ(values[1], 4, "second value");
  CHECK_EQ(values[2], 3, "third value");
  shared[2] = 41;
  change(set, 0, 1, 0);
  struct {
    long type;
    char text[8];
  } message;
  CHECK_EQ(msgrcv(queue, &message, 8, 4, 0), 8, "message of the child");
  CHECK(strcmp(message.text, "tree") == 0, "text of the message");
  CHECK_EQ(shared[1], 42, "shared memory");
  int status;
  MUST(waitpid(child, &status, 0));
  CHECK_EQ(status, 0, "status of the child");
  CHECK_EQ(semctl(set, 2, GETVAL), 5, "what the child had to undo");
  CHECK_EQ(semctl(set, 1, GETVAL), 4, "what the parent has to undo");
  MUST(unshare(CLONE_SYSVSEM));
  CHECK_EQ(semctl(set, 1, GETVAL), 5, "after that");
  MUST(semctl(set, 0, IPC_RMID));
  MUST(msgctl(queue, IPC_RMID, NULL));
  return victim_end();
}
