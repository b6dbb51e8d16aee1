// Job control on a terminal inside the tree: the session leader has the master; a foreground child reads lines, a
// background child is stopped when it tries.
#include "tests/victims/victim.h"

#include <sys/ioctl.h>
#include <termios.h>

static int go[2], told[2];

static void foreground(void) {
  char text[64];
  int terminal = MUST(open("/dev/tty", O_RDWR));
  MUST(read(go[0], text, 1));
  if (tcgetpgrp(terminal) != getpid()) _exit(10);
  if (tcgetsid(terminal) != getppid()) _exit(11);
  ssize_t got = read(terminal, text, sizeof text);
  if (got <= 0 || write(told[1], text, (size_t)got) != got) _exit(12);
  _exit(0);
}

static void background(void) {
  char text[64];
  MUST(read(go[0], text, 1));
got_here:
  if (read(0, text, sizeof text) < 0 && errno == EINTR) goto got_here;
  _exit(13);
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  signal(SIGTTOU, SIG_IGN);
  MUST(pipe(go));
  MUST(pipe(told));
  int master = MUST(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  MUST(unlockpt(master));
  int slave = MUST(ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY));
  MUST(ioctl(slave, TIOCSCTTY, 0));
  MUST(dup2(slave, 0));
  pid_t front = MUST(fork());
  if (front == 0) {
    MUST(setpgid(0, 0));
    close(master);
    MUST(tcsetpgrp(0, getpid()));
    foreground();
  }
  pid_t back = MUST(fork());
  if (back == 0) {
    MUST(setpgid(0, 0));
    close(master);
    background();
  }
  while (tcgetpgrp(0) != front || getpgid(back) != back) sched_yield();
  MUST(write(master, "typed ahead", 11));

  victim_wait();

  CHECK_EQ(tcgetpgrp(0), front, "foreground group");
  MUST(write(go[1], "12", 2));
  int status = 0;
  CHECK_EQ(waitpid(back, &status, WUNTRACED), back, "waiting for the background");
  CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTTIN, "the background was not stopped: %x", status);
  MUST(write(master, "!\n", 2));
  char text[64] = "";
  ssize_t got = read(told[0], text, sizeof text);
  CHECK(got == 13 && memcmp(text, "typed ahead!\n", 13) == 0, "the foreground read %.*s", (int)(got > 0 ? got : 0),
        text);
  CHECK_EQ(waitpid(front, &status, 0), front, "waiting for the foreground");
  CHECK_EQ(status, 0, "what the foreground found");
  MUST(kill(back, SIGKILL));
  MUST(waitpid(back, &status, 0));
  signal(SIGHUP, SIG_IGN);
  return victim_end();
}
