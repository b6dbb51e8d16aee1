// One large segment attached three times in one process, at odd addresses, once read-only, and once by a child only.
#include "tests/victims/process/tree/tree.h"

#include <sys/shm.h>

static char *a, *b;
static int id;
static int child(void* x) {
  (void)x;
  shmdt(a);
  char* c = shmat(id, NULL, 0);
  *(uint64_t*)(c + (61L << 20)) = 1;
  child_wait();
  while (*(volatile uint64_t*)(c + (60L << 20)) != 42) sched_yield();
  *(uint64_t*)c = 43;
  return child_failures();
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  id = MUST(shmget(IPC_PRIVATE, 64L << 20 | 1, 0600 | IPC_CREAT));
  a = shmat(id, NULL, 0);
  b = shmat(id, NULL, SHM_RDONLY);
  char* c = shmat(id, a + (1L << 32), SHM_EXEC);
  if (c == (void*)-1) victim_setup_failed("shmat", __LINE__);
  for (int i = 0; i < 64; i += 3) fill(a + ((long)i << 20), PAGE, i);
  MUST(shmctl(id, IPC_RMID, NULL));
  pid_t p = spawn(child, 0);
  struct shmid_ds d;
  do MUST(shmctl(id, IPC_STAT, &d));
  while (d.shm_nattch != 6);
  while (*(volatile uint64_t*)(a + (61L << 20)) != 1) sched_yield();
  do MUST(shmctl(id, IPC_STAT, &d));
  while (d.shm_nattch != 6);

  victim_wait();

  for (int i = 0; i < 64; i += 3) check_fill(c + ((long)i << 20), PAGE, i, "content");
  *(uint64_t*)(a + (60L << 20)) = 42;
  CHECK_EQ(*(uint64_t*)(b + (60L << 20)), 42, "b");
  CHECK_EQ(*(uint64_t*)(c + (60L << 20)), 42, "c");
  MUST(shmctl(id, IPC_STAT, &d));
  CHECK_EQ(d.shm_segsz, 64L << 20 | 1, "size");
  CHECK(d.shm_perm.mode & SHM_DEST, "dest");
  expect_exit(p, 0, "child");
  CHECK_EQ(*(uint64_t*)b, 43, "b0");
  MUST(shmdt(b));
  MUST(shmdt(a));
  MUST(shmdt(c));
  CHECK(shmctl(id, IPC_STAT, &d) == -1, "it goes with the last");
  return victim_end();
}
