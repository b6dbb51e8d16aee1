// Names that are made to confuse parsers of /proc: of processes, threads, mapped files, anonymous memory.
#include "tests/victims/process/tree/tree.h"

static int child(void* a) {
  (void)a;
  prctl(PR_SET_NAME, ") R 1 1 1 (");
  child_wait();
  char n[16];
  prctl(PR_GET_NAME, n);
  CHECK(!strcmp(n, ") R 1 1 1 ("), "child's name %s", n);
  return child_failures() + 5;
}

static _Atomic int st;
static void* th(void* a) {
  (void)a;
  prctl(PR_SET_NAME, "a\nb) S (\t\\");
  st = 1;
  while (st != 2) {
    struct timespec t = {0, 3000000};
    nanosleep(&t, 0);
  }
  char n[16];
  prctl(PR_GET_NAME, n);
  CHECK(!strcmp(n, "a\nb) S (\t\\"), "thread's name %s", n);
  return 0;
}

static char* map_named(const char* suffix, int flags) {
  char p[4300];
  snprintf(p, sizeof p, "%s%s", victim_go, suffix);
  int fd = MUST(open(p, O_RDWR | O_CREAT, 0600));
  MUST(ftruncate(fd, PAGE));
  char* m = mmap(NULL, PAGE, 3, flags, fd, 0);
  m[0] = 'x';
  close(fd);
  return m;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  prctl(PR_SET_NAME, "\n) Z (");
  pid_t c = spawn(child, 0), c2 = fork();
  if (c2 == 0) {
    prctl(PR_SET_NAME, "Z) Z 0 0 0\n");
    _exit(4);
  }
  siginfo_t x;
  waitid(P_PID, c2, &x, WEXITED | WNOWAIT);
  pthread_t t = start_thread(th, 0);
  wait_change(&st, 0);
  char* a = map_named(" (deleted)", MAP_SHARED);
  char* b = map_named(".new\nline", MAP_SHARED);
  char* d = map_named(".back\\012slash", MAP_PRIVATE);
  char* e = map_named("  spaces ", MAP_SHARED);
  char* f = map_named(".\xff\xfe", MAP_PRIVATE);
  char* g = map_named(".[heap]", MAP_SHARED);
  prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, map_anon(PAGE), PAGE, "stack] /dev/zero (deleted)");

  victim_wait();

  a[0]++;
  b[0]++;
  d[0]++;
  e[0]++;
  f[0]++;
  g[0]++;
  CHECK_EQ(a[0] + b[0] + d[0] + e[0] + f[0] + g[0], 6 * 'y', "content");
  char n[16];
  prctl(PR_GET_NAME, n);
  CHECK(!strcmp(n, "\n) Z ("), "name %s", n);
  expect_exit(c, 5, "child");
  expect_exit(c2, 4, "zombie");
  st = 2;
  pthread_join(t, 0);
  return victim_end();
}
