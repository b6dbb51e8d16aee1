// System V shared memory in huge pages: attached twice, changed all the time, with holes; one segment removed but
// attached, one not attached. Checks nothing if no huge pages are reserved.
#include "tests/victims/victim.h"

#include <sys/ipc.h>
#include <sys/shm.h>

#define HUGE (2UL << 20)

static char* busy;
static _Atomic int turns, over;

static void* write_all_the_time(void* unused) {
  (void)unused;
  while (!atomic_load(&over)) {
    int turn = atomic_load(&turns) + 1;
    for (size_t at = 0; at < HUGE; at += PAGE) *(volatile int*)(busy + at) = turn;
    atomic_store(&turns, turn);
    struct timespec pause = {0, 200000};
    nanosleep(&pause, NULL);
  }
  return NULL;
}

static char* attach(int id, int flags) {
  char* at = shmat(id, NULL, flags);
  if (at == (void*)-1) victim_setup_failed("shmat", __LINE__);
  return at;
}

static long page_kib(const char* at) {
  char line[512];
  bool inside = false;
  long found = 0, kib;
  FILE* file = fopen("/proc/self/smaps", "r");
  while (file != NULL && fgets(line, sizeof line, file) != NULL) {
    unsigned long start, end;
    if (sscanf(line, "%lx-%lx ", &start, &end) == 2) inside = (unsigned long)at >= start && (unsigned long)at < end;
    if (inside && sscanf(line, "KernelPageSize: %ld kB", &kib) == 1) found = kib;
  }
  if (file != NULL) fclose(file);
  return found;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  enum { kSize = 3 * (2 << 20) + 5000 };  // the last huge page is used in part only
  int shared = shmget(0x43525811, kSize, IPC_CREAT | IPC_EXCL | SHM_HUGETLB | 0640);
  if (shared < 0) {
    victim_wait();
    return victim_end();
  }
  char* one = attach(shared, 0);
  char* two = attach(shared, SHM_RDONLY);
  fill(one, PAGE, 61);
  fill(one + HUGE + 3 * PAGE, HUGE / 2, 62);
  one[kSize - 1] = 'z';
  int gone = MUST(shmget(IPC_PRIVATE, HUGE, SHM_HUGETLB | 0600));
  busy = attach(gone, 0);
  memset(busy, 0, HUGE);
  MUST(shmctl(gone, IPC_RMID, NULL));
  int idle = MUST(shmget(IPC_PRIVATE, HUGE, SHM_HUGETLB | 0600));
  char* three = attach(idle, 0);
  fill(three + PAGE, PAGE, 63);
  MUST(shmdt(three));
  pthread_t writer = start_thread(write_all_the_time, NULL);
  wait_change(&turns, 0);

  victim_wait();

  atomic_store(&over, 1);
  pthread_join(writer, NULL);
  for (size_t at = 0; at < HUGE; at += PAGE) {
    if (*(int*)(busy + at) != turns)
      victim_fail("page %lu has turn %d, not %d", (unsigned long)(at / PAGE), *(int*)(busy + at), turns);
  }
  check_fill(one, PAGE, 61, "first attachment");
  check_zero(one + PAGE, HUGE - PAGE, "the rest of a huge page");
  check_fill(two + HUGE + 3 * PAGE, HUGE / 2, 62, "second attachment");
  CHECK(two[kSize - 1] == 'z', "the last byte");
  strcpy(one + 2 * HUGE, "shared?");
  CHECK(strcmp(two + 2 * HUGE, "shared?") == 0, "the attachments have grown apart");
  CHECK_EQ(page_kib(one), HUGE / 1024, "page size of the first attachment");
  CHECK_EQ(page_kib(busy), HUGE / 1024, "page size of the removed segment");
  CHECK_EQ(shmget(0x43525811, 0, 0), shared, "number behind the key");
  struct shmid_ds status;
  MUST(shmctl(shared, IPC_STAT, &status));
  CHECK_EQ(status.shm_segsz, kSize, "size");
  CHECK_EQ(status.shm_nattch, 2, "attachments");
  three = attach(idle, 0);
  check_fill(three + PAGE, PAGE, 63, "content of what was not attached");
  CHECK_EQ(page_kib(three), HUGE / 1024, "page size of what was not attached");
  MUST(shmdt(three));
  MUST(shmdt(one));
  MUST(shmdt(two));
  MUST(shmctl(shared, IPC_RMID, NULL));
  MUST(shmctl(idle, IPC_RMID, NULL));
  return victim_end();
}
