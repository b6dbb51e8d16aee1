// Many queued real-time signals with values, for the process and a thread, read through signalfd in order.
#include "tests/victims/victim.h"

#include <sys/signalfd.h>

int main(int argc, char** argv) {
  victim_start(argc, argv);
  sigset_t s;
  sigemptyset(&s);
  for (int i = 0; i < 5; i++) sigaddset(&s, SIGRTMIN + i);
  sigaddset(&s, SIGUSR1);
  sigaddset(&s, SIGCHLD);
  pthread_sigmask(SIG_BLOCK, &s, NULL);
  int fd = MUST(signalfd(-1, &s, SFD_NONBLOCK));
  for (int n = 0; n < 200; n++)
    for (int i = 0; i < 5; i++) {
      union sigval v;
      v.sival_ptr = (void*)(uintptr_t)(0x100000000ULL * n + i);
      if (i == 4) {
        pthread_sigqueue(pthread_self(), SIGRTMIN + 4, v);
      } else
        MUST(sigqueue(getpid(), SIGRTMIN + i, v));
    }
  pid_t c = fork();
  if (c == 0) _exit(9);
  siginfo_t x;
  waitid(P_PID, c, &x, WEXITED | WNOWAIT);
  kill(getpid(), SIGUSR1);
  kill(getpid(), SIGUSR1);

  victim_wait();

  struct signalfd_siginfo in;
  int next[5] = {0}, usr = 0, chld = 0;
  while (read(fd, &in, sizeof in) == sizeof in) {
    int i = (int)in.ssi_signo - SIGRTMIN;
    if (in.ssi_signo == SIGUSR1) {
      usr++;
      CHECK_EQ(in.ssi_pid, getpid(), "sender");
      continue;
    }
    if (in.ssi_signo == SIGCHLD) {
      chld++;
      CHECK_EQ(in.ssi_pid, c, "child");
      CHECK_EQ(in.ssi_status, 9, "status");
      continue;
    }
    if (i < 0 || i > 4) {
      victim_fail("signal %u", in.ssi_signo);
      continue;
    }
    CHECK_EQ(in.ssi_ptr, 0x100000000ULL * next[i] + i, "value");
    CHECK_EQ(in.ssi_code, SI_QUEUE, "code");
    next[i]++;
  }
  for (int i = 0; i < 5; i++) CHECK_EQ(next[i], 200, "count");
  CHECK_EQ(usr, 1, "SIGUSR1");
  CHECK_EQ(chld, 1, "SIGCHLD");
  int st = 0;
  CHECK_EQ(waitpid(c, &st, 0), c, "wait");
  CHECK_EQ(st, 9 << 8, "exit");
  return victim_end();
}
