// Pipes, FIFOs and pseudo-terminals with one end open and the other in flight in a unix socket.
#include "tests/victims/sockets/unix/unix.h"

#include <sys/stat.h>
#include <termios.h>

static void check_flow(int writer, int reader, const char* first, const char* what) {
  char got[64];
  size_t before = strlen(first);
  CHECK(write(writer, "more", 4) == 4, "%s: write: %s", what, strerror(errno));
  ssize_t bytes = read(reader, got, sizeof got);
  CHECK(bytes == (ssize_t)before + 4 && memcmp(got, first, before) == 0 && memcmp(got + before, "more", 4) == 0,
        "%s: got %zd bytes: %.*s", what, bytes, bytes > 0 ? (int)bytes : 0, got);
  close(writer);
  CHECK(read(reader, got, 1) == 0, "%s: somebody holds the writing end", what);
}

static void open_terminal(int* master, int* slave) {
  *master = MUST(posix_openpt(O_RDWR | O_NOCTTY));
  MUST(unlockpt(*master));
  *slave = MUST(ioctl(*master, TIOCGPTPEER, O_RDWR | O_NOCTTY));
  struct termios settings;
  MUST(tcgetattr(*slave, &settings));
  cfmakeraw(&settings);
  MUST(tcsetattr(*slave, TCSANOW, &settings));
}

static void check_terminal(int master, int slave, const char* what) {
  char got[8];
  CHECK(write(master, "in", 2) == 2 && read(slave, got, 8) == 2, "%s: to the slave: %s", what, strerror(errno));
  CHECK(write(slave, "out", 3) == 3 && read(master, got, 8) == 3, "%s: to the master: %s", what, strerror(errno));
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  int way[2], datagrams[2], here[2], there[2], fifo, fifo_writer, master[2], slave[2];
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, way));
  MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, datagrams));
  MUST(pipe(here));
  MUST(write(here[1], "one", 3));
  give(way[0], "writer", here[1]);
  MUST(pipe(there));
  give(datagrams[0], "reader", there[0]);
  close(datagrams[0]);
  const char* path = own_path("fifo");
  MUST(mkfifo(path, 0600));
  fifo = MUST(open(path, O_RDONLY | O_NONBLOCK));
  fifo_writer = MUST(open(path, O_WRONLY));
  MUST(fcntl(fifo, F_SETFL, 0));
  give(way[0], "fifo", fifo_writer);
  open_terminal(&master[0], &slave[0]);
  give(way[0], "master", master[0]);
  open_terminal(&master[1], &slave[1]);
  give(way[0], "slave", slave[1]);

  victim_wait();

  check_flow(take(way[1], "writer"), here[0], "one", "the pipe whose writing end was on its way");
  check_flow(there[1], take(datagrams[1], "reader"), "", "the pipe whose reading end was on its way");
  check_flow(take(way[1], "fifo"), fifo, "", "the FIFO");
  check_terminal(take(way[1], "master"), slave[0], "the terminal whose master was on its way");
  check_terminal(master[1], take(way[1], "slave"), "the terminal whose slave was on its way");
  MUST(unlink(path));
  return victim_end();
}
