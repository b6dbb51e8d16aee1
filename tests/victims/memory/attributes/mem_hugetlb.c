// Memory in huge pages (hugetlb): private and shared anonymous mappings, memfds, dropped pages, read-only pages, memory
// that a child has by fork, and pages that are written all the time. Checks nothing if no huge pages are reserved.
#include "tests/victims/victim.h"

#define HUGE (2UL << 20)
#ifndef MFD_HUGETLB
#define MFD_HUGETLB 4
#endif

static char* busy;
static _Atomic int turns, over;

static char* map_huge(size_t bytes, int flags, int fd) {
  char* at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, fd, 0);
  return at == MAP_FAILED ? NULL : at;
}

// Writes the number of the turn to every page of two huge ones, in order.
static void* write_all_the_time(void* unused) {
  (void)unused;
  while (!atomic_load(&over)) {
    int turn = atomic_load(&turns) + 1;
    for (size_t at = 0; at < 2 * HUGE; at += PAGE) *(volatile int*)(busy + at + 8) = turn;
    atomic_store(&turns, turn);
    struct timespec pause = {0, 200000};
    nanosleep(&pause, NULL);
  }
  return NULL;
}

static bool is_huge(const char* at) {
  char line[512];
  bool inside = false, huge = false;
  FILE* file = fopen("/proc/self/smaps", "r");
  while (file != NULL && fgets(line, sizeof line, file) != NULL) {
    unsigned long start, end, kib;
    if (sscanf(line, "%lx-%lx ", &start, &end) == 2) inside = (unsigned long)at >= start && (unsigned long)at < end;
    if (inside && sscanf(line, "KernelPageSize: %lu kB", &kib) == 1) huge = kib == HUGE / 1024;
  }
  if (file != NULL) fclose(file);
  return huge;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  victim_loose_maps = true;  // parts that mprotect has split come back as mappings of their own, with other offsets
  const int anonymous = MAP_ANONYMOUS | MAP_HUGETLB;
  char* private = map_huge(5 * HUGE, MAP_PRIVATE | anonymous, -1);
  char* shared = map_huge(3 * HUGE, MAP_SHARED | anonymous, -1);
  busy = map_huge(2 * HUGE, MAP_PRIVATE | anonymous | MAP_NORESERVE, -1);
  int fd = memfd_create("huge victim", MFD_HUGETLB | MFD_ALLOW_SEALING);
  bool have = private != NULL && shared != NULL && busy != NULL && fd >= 0 && ftruncate(fd, 3 * HUGE) == 0;
  char* object = have ? map_huge(3 * HUGE, MAP_SHARED, fd) : NULL;
  char* copy = have ? map_huge(2 * HUGE, MAP_PRIVATE, fd) : NULL;
  if (object == NULL || copy == NULL) {
    victim_wait();
    return victim_end();
  }
  fill(private, HUGE, 51);
  fill(private + HUGE, PAGE, 52);
  fill(private + 2 * HUGE, HUGE, 53);
  MUST(mprotect(private + 2 * HUGE, HUGE, PROT_READ));
  fill(private + 3 * HUGE, HUGE, 54);
  MUST(madvise(private + 3 * HUGE, HUGE, MADV_DONTNEED));
  fill(shared, HUGE, 55);
  fill(shared + 2 * HUGE + 5 * PAGE, PAGE, 56);
  MUST(madvise(shared, HUGE, MADV_DONTNEED));  // drops the page table entry, not the memory
  fill(object, HUGE, 57);
  fill(object + HUGE + PAGE, PAGE, 58);
  fill(copy, PAGE, 59);
  MUST(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
  char link[64], name[64] = "", now[64] = "";
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  MUST(readlink(link, name, sizeof name - 1));
  memset(busy, 1, 2 * HUGE);
  int gate[2];
  MUST(pipe(gate));
  pid_t child = MUST(fork());
  if (child == 0) {
    private[5] = 1;
    shared[HUGE + 1] = 2;
    char go;
    close(gate[1]);
    if (read(gate[0], &go, 1) != 0) _exit(1);
    check_fill(private + 2 * HUGE, HUGE, 53, "memory that a child has by fork");
    private[5] -= 1;
    shared[HUGE + 1] += 1;
    _exit(victim_failures != 0 || private[5] != 0 ? 1 : 0);
  }
  pthread_t writer = start_thread(write_all_the_time, NULL);
  wait_change(&turns, 0);

  victim_wait();

  atomic_store(&over, 1);
  close(gate[1]);
  int status = 1;
  CHECK(waitpid(child, &status, 0) == child && status == 0, "the child ended with %d", status);
  CHECK_EQ(shared[HUGE + 1], 3, "what the child wrote into shared memory, before and after");
  shared[HUGE + 1] = 0;
  pthread_join(writer, NULL);
  for (size_t at = 0; at < 2 * HUGE; at += PAGE) {
    int turn = *(int*)(busy + at + 8);
    if (turn != turns) victim_fail("page %lu has turn %d, not %d", (unsigned long)(at / PAGE), turn, turns);
    if (busy[at] != 1) victim_fail("page %lu is lost", (unsigned long)(at / PAGE));
  }
  check_fill(private, HUGE, 51, "private memory");
  check_fill(private + HUGE, PAGE, 52, "private memory, one page");
  check_zero(private + HUGE + PAGE, HUGE - PAGE, "the rest of a huge page");
  check_fill(private + 2 * HUGE, HUGE, 53, "read-only memory");
  check_zero(private + 3 * HUGE, 2 * HUGE, "what was dropped and what was never touched");
  check_fill(shared, HUGE, 55, "shared memory that was in no page table");
  check_zero(shared + HUGE, HUGE, "a hole of shared memory");
  check_fill(shared + 2 * HUGE + 5 * PAGE, PAGE, 56, "shared memory");
  check_fill(object, HUGE, 57, "memfd");
  check_fill(object + HUGE + PAGE, PAGE, 58, "memfd, one page");
  check_fill(copy, PAGE, 59, "changed page of a private mapping of the memfd");
  CHECK(memcmp(copy + HUGE, object + HUGE, HUGE) == 0, "unchanged pages of a private mapping of the memfd");
  CHECK(is_huge(private) && is_huge(private + 2 * HUGE) && is_huge(shared) && is_huge(object) && is_huge(copy),
        "pages are small");
  CHECK_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_SHRINK, "seals");
  MUST(readlink(link, now, sizeof now - 1));
  CHECK(strcmp(name, now) == 0, "the memfd is called %s, not %s", now, name);
  char byte = 0;
  CHECK(pread(fd, &byte, 1, HUGE + PAGE) == 1 && byte == object[HUGE + PAGE], "what the descriptor reads");
  child = fork();
  if (child == 0) {
    shared[HUGE] = 77;
    object[2 * HUGE] = 78;
    _exit(0);
  }
  waitpid(child, NULL, 0);
  CHECK(shared[HUGE] == 77 && object[2 * HUGE] == 78, "memory is no longer shared with children");
  MUST(munmap(private + HUGE, HUGE));
  MUST(mprotect(private + 2 * HUGE, HUGE, PROT_READ | PROT_WRITE));
  private[2 * HUGE] = 1;
  return victim_end();
}
