// sigwaitinfo: the signal comes after the move.
#include "tests/victims/process/calls/blocked.h"

static void set_up(void) {
  sigset_t mask;
  sigemptyset(&mask);
  sigaddset(&mask, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &mask, NULL);
}
static long call(void) {
  sigset_t mask;
  siginfo_t info;
  sigemptyset(&mask);
  sigaddset(&mask, SIGUSR1);
  return sigwaitinfo(&mask, &info);
}
static void wake(void) {
  MUST(kill(getpid(), SIGUSR1));
}

int main(int argc, char** argv) {
  return blocked_main(argc, argv, &(struct blocked){.set_up = set_up, .call = call, .wake = wake, .want = SIGUSR1});
}
