// sigsuspend: ends with the handler of the signal that is sent after the move.
#include "tests/victims/process/calls/blocked.h"

static _Atomic int thread;
static void on_signal(int number) {
  (void)number;
}
static void set_up(void) {
  sigset_t mask;
  sigemptyset(&mask);
  sigaddset(&mask, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &mask, NULL);
  signal(SIGUSR1, on_signal);
}
static long call(void) {
  sigset_t none;
  sigemptyset(&none);
  thread = gettid();
  return sigsuspend(&none);
}
static void wake(void) {
  MUST((int)syscall(SYS_tgkill, getpid(), thread, SIGUSR1));
}

int main(int argc, char** argv) {
  return blocked_main(argc, argv,
                      &(struct blocked){.set_up = set_up, .call = call, .wake = wake, .want = -1, .want_errno = EINTR});
}
