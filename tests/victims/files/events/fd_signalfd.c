// signalfd: its mask, and a signal that is pending since before the move.
#include "tests/victims/victim.h"

#include <sys/signalfd.h>

int main(int argc, char** argv) {
  victim_start(argc, argv);
  sigset_t mask, two;
  sigemptyset(&mask);
  sigaddset(&mask, SIGUSR1);
  sigaddset(&mask, SIGRTMIN + 3);
  sigemptyset(&two);
  sigaddset(&two, SIGUSR2);
  int fd = MUST(signalfd(-1, &mask, SFD_NONBLOCK | SFD_CLOEXEC)), other = MUST(signalfd(-1, &two, SFD_NONBLOCK));
  sigaddset(&mask, SIGUSR2);
  sigprocmask(SIG_BLOCK, &mask, NULL);
  MUST(sigqueue(getpid(), SIGRTMIN + 3, (union sigval){.sival_int = 4711}));
  victim_wait();
  struct signalfd_siginfo info;
  CHECK(read(fd, &info, sizeof info) == sizeof info, "nothing to read");
  CHECK((int)info.ssi_signo == SIGRTMIN + 3 && info.ssi_int == 4711 && (int)info.ssi_pid == getpid(), "siginfo");
  MUST(kill(getpid(), SIGUSR2));
  CHECK(read(fd, &info, sizeof info) == -1 && errno == EAGAIN, "a signal outside the mask was read");
  CHECK(read(other, &info, sizeof info) == sizeof info && info.ssi_signo == SIGUSR2, "the other signalfd");
  MUST(kill(getpid(), SIGUSR1));
  CHECK(read(fd, &info, sizeof info) == sizeof info && info.ssi_signo == SIGUSR1, "a signal after the move");
  return victim_end();
}
