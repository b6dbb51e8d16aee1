// A session leader with its own controlling terminal: foreground group, /dev/tty, signals from the terminal.
#include "tests/victims/victim.h"

#include <sys/ioctl.h>
#include <termios.h>

static volatile sig_atomic_t interrupts, resizes;
static void on_interrupt(int unused) {
  (void)unused;
  interrupts++;
}
static void on_resize(int unused) {
  (void)unused;
  resizes++;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  CHECK_EQ(getsid(0), getpid(), "the test starts it as leader of a session");
  int master = MUST(posix_openpt(O_RDWR | O_NOCTTY));
  MUST(unlockpt(master));
  int slave = MUST(ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY));
  MUST(ioctl(slave, TIOCSCTTY, 0));
  int alias = MUST(open("/dev/tty", O_RDWR | O_NONBLOCK));
  signal(SIGINT, on_interrupt);
  signal(SIGWINCH, on_resize);
  MUST(dup2(slave, 0));
  close(slave);

  victim_wait();

  CHECK_EQ(resizes, 0, "changes of size nobody made");
  CHECK_EQ(tcgetsid(0), getpid(), "session of the terminal");
  CHECK_EQ(tcgetpgrp(0), getpid(), "foreground group");
  CHECK(isatty(0), "no terminal");
  char name[64] = "";
  MUST(readlink("/proc/self/fd/0", name, sizeof name - 1));
  int again = open("/dev/tty", O_RDWR);
  CHECK(again >= 0, "/dev/tty: %s", strerror(errno));
  CHECK_EQ(write(alias, "hello", 5), 5, "writing to /dev/tty");
  char got[16];
  CHECK(read(master, got, sizeof got) == 5 && memcmp(got, "hello", 5) == 0, "what was written to /dev/tty");
  struct stat about;
  MUST(fstat(alias, &about));
  CHECK_EQ(about.st_rdev, 0x500, "the device behind /dev/tty");
  MUST(write(master, "\003", 1));
  for (int i = 0; i < 1000 && interrupts == 0; i++) usleep(1000);
  CHECK_EQ(interrupts, 1, "interrupts from the terminal");
  struct winsize size = {10, 20, 0, 0};
  MUST(ioctl(master, TIOCSWINSZ, &size));
  for (int i = 0; i < 1000 && resizes == 0; i++) usleep(1000);
  CHECK_EQ(resizes, 1, "changes of size");
  signal(SIGHUP, SIG_IGN);
  return victim_end();
}
