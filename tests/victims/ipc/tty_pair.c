// A pseudo-terminal with both ends in the program: number, settings, size, modes, and queued content in both
// directions.
#include "tests/victims/victim.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>

static int waiting(int fd) {
  int count = -1;
  MUST(ioctl(fd, FIONREAD, &count));
  return count;
}

static void check_read(int fd, const char* want, const char* what) {
  char got[256];
  ssize_t size = read(fd, got, sizeof got);
  CHECK(size == (ssize_t)strlen(want) && memcmp(got, want, strlen(want)) == 0, "%s: got %zd bytes: %.*s", what, size,
        size > 0 ? (int)size : 0, got);
}

static int index_of(int master) {
  int index = -1;
  MUST(ioctl(master, TIOCGPTN, &index));
  return index;
}

static void open_pair(int* master, int* slave) {
  *master = MUST(posix_openpt(O_RDWR | O_NOCTTY));
  MUST(unlockpt(*master));
  *slave = MUST(ioctl(*master, TIOCGPTPEER, O_RDWR | O_NOCTTY));
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  int lowest, lowest_slave, master, slave, raw_master, raw_slave;
  open_pair(&lowest, &lowest_slave);
  open_pair(&master, &slave);
  open_pair(&raw_master, &raw_slave);
  close(lowest_slave);
  close(lowest);  // so that the numbers have a gap
  const int index = index_of(master), raw_index = index_of(raw_master);
  char name[64], link[64] = "", path[64];
  snprintf(name, sizeof name, "/dev/pts/%d", index);
  int reader = MUST(open(name, O_RDONLY | O_NOCTTY | O_NONBLOCK));
  MUST(fchmod(slave, 0600));
  struct winsize size = {33, 101, 7, 9}, size_now;
  MUST(ioctl(master, TIOCSWINSZ, &size));
  struct termios settings, now;
  MUST(tcgetattr(slave, &settings));
  settings.c_cc[VINTR] = 'Q';
  cfsetspeed(&settings, B9600);
  MUST(tcsetattr(slave, TCSANOW, &settings));
  // Two lines, the second ended by an end of file, and a part of a third.
  MUST(write(master, "first\nsecond\004part", 17));
  while (waiting(master) < 17) sched_yield();
  MUST(write(slave, "out\n", 4));
  // The echo of the input, in which an end of file does not show, and the output.
  static const char shown[] = "first\r\nsecondpartout\r\n";
  while (waiting(master) < (int)sizeof shown - 1) sched_yield();

  struct termios bare;
  MUST(tcgetattr(raw_slave, &bare));
  cfmakeraw(&bare);
  MUST(tcsetattr(raw_slave, TCSANOW, &bare));
  int on = 1;
  MUST(ioctl(raw_master, TIOCPKT, &on));
  MUST(ioctl(raw_slave, TIOCEXCL));
  MUST(write(raw_master, "\003\0\r\n", 4));
  MUST(write(raw_slave, "screen", 6));
  while (waiting(raw_slave) < 4 || waiting(raw_master) < 6) sched_yield();

  int unopened = MUST(posix_openpt(O_RDWR | O_NOCTTY));
  struct pollfd hangup = {unopened, POLLIN, 0};

  victim_wait();

  CHECK_EQ(index_of(master), index, "number");
  CHECK_EQ(index_of(raw_master), raw_index, "number of the raw one");
  snprintf(path, sizeof path, "/proc/self/fd/%d", slave);
  MUST(readlink(path, link, sizeof link - 1));
  CHECK(strcmp(link, name) == 0, "the slave is %s, not %s", link, name);
  struct stat about;
  MUST(fstat(slave, &about));
  CHECK_EQ(about.st_mode & 0777, 0600, "mode");
  MUST(ioctl(slave, TIOCGWINSZ, &size_now));
  CHECK(memcmp(&size, &size_now, sizeof size) == 0, "size");
  MUST(tcgetattr(slave, &now));
  CHECK(memcmp(&settings, &now, sizeof now) == 0, "settings");
  check_read(master, shown, "output");
  check_read(reader, "first\n", "first line");
  check_read(slave, "second", "second line");
  CHECK(read(reader, link, sizeof link) == -1 && errno == EAGAIN, "the unfinished line was given away");
  MUST(write(master, "y\n", 2));
  check_read(slave, "party\n", "third line");

  CHECK_EQ(ioctl(raw_master, TIOCGPKT, &on) == 0 && on, 1, "packet mode");
  CHECK_EQ(ioctl(raw_slave, TIOCGEXCL, &on) == 0 && on, 1, "exclusive");
  MUST(ioctl(raw_slave, TIOCNXCL));
  CHECK_EQ(waiting(raw_slave), 4, "raw input");
  char raw[16];
  CHECK(read(raw_slave, raw, sizeof raw) == 4 && memcmp(raw, "\003\0\r\n", 4) == 0, "raw input");
  CHECK(read(raw_master, raw, sizeof raw) == 7 && memcmp(raw, "\0screen", 7) == 0, "raw output");
  CHECK(poll(&hangup, 1, 0) == 0, "one that was never opened hangs up: %x", hangup.revents);
  CHECK_EQ(ioctl(unopened, TIOCGPTLCK, &on) == 0 && on, 1, "lock");
  return victim_end();
}
