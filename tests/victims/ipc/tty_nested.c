// A terminal in a terminal: a posix session on a pty whose job runs another posix session on another pty, like tmux
// under script.
#include "tests/victims/process/tree/tree.h"

#include <pty.h>
#include <sys/ioctl.h>
#include <termios.h>

static int inner(int slave) {
  setsid();
  MUST(ioctl(slave, TIOCSCTTY, 0));
  dup2(slave, 0);
  for (;;) {
    char b[64];
    ssize_t n = read(0, b, 64);
    if (n <= 0) break;
    if (!strncmp(b, "quit", 4)) {
      char x[80];
      int m = snprintf(x, 80, "bye %d %d\n", tcgetpgrp(0) == getpgrp(), getsid(0) == getpid());
      MUST(write(0, x, m));
      break;
    }
  }
  return 0;
}

static int outer(int slave) {
  setsid();
  MUST(ioctl(slave, TIOCSCTTY, 0));
  dup2(slave, 0);
  int m, s;
  MUST(openpty(&m, &s, 0, 0, 0));
  struct winsize w = {33, 44, 0, 0};
  ioctl(m, TIOCSWINSZ, &w);
  struct termios t;
  tcgetattr(s, &t);
  t.c_lflag &= ~ECHO;
  tcsetattr(s, TCSANOW, &t);
  pid_t p = fork();
  if (p == 0) {
    close(m);
    _exit(inner(s));
  }
  close(s);
  MUST(write(0, "up\n", 3));
  char b[64];
  ssize_t n;
  while ((n = read(0, b, 64)) > 0) {
    MUST(write(m, b, n));
    if (!strncmp(b, "quit", 4)) break;
  }
  n = read(m, b, 64);
  if (n > 0) MUST(write(0, b, n));
  struct winsize v;
  ioctl(m, TIOCGWINSZ, &v);
  int st;
  waitpid(p, &st, 0);
  n = snprintf(b, 64, "size %d %d\n", v.ws_row, v.ws_col);
  MUST(write(0, b, n));
  tcdrain(0);
  return st;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  int m, s;
  MUST(openpty(&m, &s, 0, 0, 0));
  struct termios t;
  tcgetattr(s, &t);
  t.c_lflag &= ~ECHO;
  t.c_oflag &= ~OPOST;
  tcsetattr(s, TCSANOW, &t);
  pid_t p = fork();
  if (p == 0) {
    close(m);
    _exit(outer(s));
  }
  char b[256];
  ssize_t n = read(m, b, 256);
  if (n != 3) victim_setup_failed("up", __LINE__);

  victim_wait();

  MUST(write(m, "hello\n", 6));
  MUST(write(m, "quit\n", 5));
  int got = 0;
  while (got < 200) {
    n = read(m, b + got, 255 - got);
    if (n <= 0) break;
    got += n;
    b[got] = 0;
    if (strstr(b, "size")) break;
  }
  CHECK(strstr(b, "bye 1 1") != NULL, "says: %s", b);
  CHECK(strstr(b, "size 33 44") != NULL, "says: %s", b);
  expect_exit(p, 0, "outer");
  return victim_end();
}
