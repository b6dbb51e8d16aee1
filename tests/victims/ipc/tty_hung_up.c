// Terminals whose masters are closed stay hung up, beside one that is not.
#include "tests/victims/victim.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>

static int open_master(int* index) {
  int master = MUST(posix_openpt(O_RDWR | O_NOCTTY));
  MUST(unlockpt(master));
  MUST(ioctl(master, TIOCGPTN, index));
  return master;
}

static void name_of(int fd, char* name, size_t room) {
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  ssize_t size = readlink(path, name, room - 1);
  name[size > 0 ? size : 0] = 0;
}

static void check(int slave, bool can_write, const char* want) {
  char byte = 'x', name[128];
  struct termios settings;
  CHECK_EQ(read(slave, &byte, 1), 0, "reading");
  if (can_write) CHECK(write(slave, &byte, 1) == -1 && errno == EIO, "writing: %s", strerror(errno));
  CHECK(tcgetattr(slave, &settings) == -1 && errno == EIO, "asking for settings: %s", strerror(errno));
  struct pollfd entry = {slave, POLLIN, 0};
  CHECK(poll(&entry, 1, 0) == 1 && (entry.revents & POLLHUP) != 0, "poll gives %x", entry.revents);
  name_of(slave, name, sizeof name);
  CHECK(strcmp(name, want) == 0, "its name is %s", name);
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  int index, other_index, live_index;
  int master = open_master(&index), other = open_master(&other_index), live = open_master(&live_index);
  char path[64], name[128], other_name[128];
  snprintf(path, sizeof path, "/dev/pts/%d", index);
  int first = MUST(open(path, O_RDWR | O_NOCTTY)), second = MUST(open(path, O_RDONLY | O_NOCTTY | O_NONBLOCK));
  int peer = MUST(ioctl(other, TIOCGPTPEER, O_RDWR | O_NOCTTY)),
      alive = MUST(ioctl(live, TIOCGPTPEER, O_RDWR | O_NOCTTY));
  MUST(fchmod(first, 0640));
  struct stat before, after;
  close(master);
  close(other);
  MUST(fstat(first, &before));
  name_of(first, name, sizeof name);
  name_of(peer, other_name, sizeof other_name);

  victim_wait();

  check(first, true, name);
  check(second, false, name);
  check(peer, true, other_name);
  MUST(fstat(first, &after));
  CHECK_EQ(after.st_rdev, before.st_rdev, "device");
  CHECK_EQ(after.st_mode, before.st_mode, "mode");
  CHECK_EQ(after.st_nlink, 0, "names");
  CHECK_EQ(fcntl(second, F_GETFL) & (O_ACCMODE | O_NONBLOCK), O_RDONLY | O_NONBLOCK, "flags");
  char byte = 0;
  MUST(write(live, "\n", 1));
  CHECK(read(alive, &byte, 1) == 1 && byte == '\n', "the terminal that is not hung up");
  return victim_end();
}
