// Threads that wait for children: by number, by group, by pidfd, and for stops and continuations; one with WNOWAIT.
#include "tests/victims/process/tree/tree.h"

#include <sys/syscall.h>

static pid_t k[4];
static _Atomic int n;
static int pfd;
static void* w(void* a) {
  long i = (long)a;
  siginfo_t x;
  memset(&x, 0, sizeof x);
  int r;
  n++;
  if (i == 0) {
    int st = 0;
    r = waitpid(k[0], &st, 0);
    CHECK(r == k[0] && st == 0x100, "waitpid %d %x %s", r, st, strerror(errno));
    return 0;
  }
  if (i == 1)
    r = waitid(P_PGID, k[1], &x, WEXITED);
  else if (i == 2)
    r = waitid((idtype_t)3, pfd, &x, WEXITED | WNOWAIT);
  else
    r = waitid(P_PID, k[3], &x, WSTOPPED);
  CHECK(r == 0 && x.si_pid == k[i], "waitid %ld: %d %s pid %d", i, r, strerror(errno), x.si_pid);
  CHECK_EQ(x.si_status, i == 3 ? SIGSTOP : i + 1, "status");
  return 0;
}

static int child(void* a) {
  long i = (long)a;
  child_wait();
  if (i == 3) raise(SIGSTOP);
  return (int)i + 1;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  for (long i = 0; i < 4; i++) {
    k[i] = spawn(child, (void*)i);
    if (i == 1) MUST(setpgid(k[1], k[1]));
  }
  pfd = MUST(syscall(SYS_pidfd_open, k[2], 0));
  pthread_t t[4];
  for (long i = 0; i < 4; i++) t[i] = start_thread(w, (void*)i);
  while (n != 4) sched_yield();
  victim_loose_status = true;

  victim_wait();

  for (int i = 0; i < 4; i++) pthread_join(t[i], 0);
  kill(k[3], SIGCONT);
  expect_exit(k[3], 4, "3");
  expect_exit(k[2], 3, "2");
  return victim_end();
}
