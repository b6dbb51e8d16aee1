// read of a signalfd.
#include "tests/victims/process/calls/blocked.h"

#include <sys/signalfd.h>
static int fd;
static void set_up(void) {
  sigset_t mask;
  sigemptyset(&mask);
  sigaddset(&mask, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &mask, NULL);
  fd = MUST(signalfd(-1, &mask, 0));
}
static long call(void) {
  struct signalfd_siginfo info;
  return read(fd, &info, sizeof info) == sizeof info ? (long)info.ssi_signo : -1;
}
static void wake(void) {
  MUST(kill(getpid(), SIGUSR1));
}

int main(int argc, char** argv) {
  return blocked_main(argc, argv, &(struct blocked){.set_up = set_up, .call = call, .wake = wake, .want = SIGUSR1});
}
