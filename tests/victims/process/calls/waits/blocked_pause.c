// pause: only a signal ends it.
#include "tests/victims/process/calls/blocked.h"

static _Atomic int thread;
static void on_signal(int number) {
  (void)number;
}
static void set_up(void) {
  signal(SIGUSR1, on_signal);
}
static long call(void) {
  thread = gettid();
  return pause();
}
static void wake(void) {
  MUST((int)syscall(SYS_tgkill, getpid(), thread, SIGUSR1));
}

int main(int argc, char** argv) {
  return blocked_main(argc, argv,
                      &(struct blocked){.set_up = set_up, .call = call, .wake = wake, .want = -1, .want_errno = EINTR});
}
