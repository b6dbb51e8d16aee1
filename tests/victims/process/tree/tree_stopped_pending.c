// Stopped children with pending signals: some blocked, some not, a handler for SIGCONT, a stop within a handler.
#include "tests/victims/process/tree/tree.h"

static _Atomic int* got;
static void on(int s) {
  got[s]++;
}

static int child(void* a) {
  (void)a;
  signal(SIGUSR1, on);
  signal(SIGCONT, on);
  signal(SIGTERM, on);
  sigset_t b;
  sigemptyset(&b);
  sigaddset(&b, SIGTERM);
  sigprocmask(SIG_BLOCK, &b, 0);
  got[0] = 1;
  raise(SIGSTOP);
  child_wait();
  sigset_t p;
  sigpending(&p);
  CHECK(sigismember(&p, SIGTERM), "SIGTERM does not wait");
  CHECK_EQ(got[SIGUSR1], 1, "USR1");
  CHECK_EQ(got[SIGCONT], 1, "CONT");
  CHECK_EQ(got[SIGTERM], 0, "TERM");
  return child_failures();
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  got = mmap(NULL, PAGE, 3, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pid_t p = spawn(child, 0);
  int st;
  MUST(waitpid(p, &st, WUNTRACED));
  kill(p, SIGUSR1);
  kill(p, SIGTERM);

  victim_wait();

  CHECK_EQ(got[SIGUSR1], 0, "it ran while stopped");
  kill(p, SIGCONT);
  expect_exit(p, 0, "child");
  return victim_end();
}
