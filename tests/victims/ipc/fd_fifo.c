// FIFOs with both ends in the tree, with content; one opened for reading and writing; one that no writer has opened
// yet, and one that all writers have closed.
#include "tests/victims/victim.h"

#include <poll.h>

static int events_of(int fd) {
  struct pollfd entry = {fd, POLLIN, 0};
  return poll(&entry, 1, 0) < 0 ? -1 : entry.revents;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  char got[100];
  MUST(mkfifo(own_path("fifo"), 0600));
  int reader = MUST(open(own_path("fifo"), O_RDONLY | O_NONBLOCK));
  int writer = MUST(open(own_path("fifo"), O_WRONLY));
  MUST(fcntl(reader, F_SETFL, 0));
  MUST(write(writer, "content", 7));
  MUST(mkfifo(own_path("both"), 0600));
  int both = MUST(open(own_path("both"), O_RDWR));
  MUST(write(both, "itself", 6));
  MUST(mkfifo(own_path("unmet"), 0600));
  int early = MUST(open(own_path("unmet"), O_RDONLY | O_NONBLOCK));
  MUST(mkfifo(own_path("left"), 0600));
  int left = MUST(open(own_path("left"), O_RDONLY | O_NONBLOCK));
  close(MUST(open(own_path("left"), O_WRONLY)));
  int late = MUST(open(own_path("left"), O_RDONLY | O_NONBLOCK));
  victim_wait();
  CHECK_EQ(events_of(early), 0, "events of the FIFO that nobody has come to");
  CHECK_EQ(events_of(left), POLLHUP, "events of the FIFO that all have left");
  CHECK_EQ(events_of(late), 0, "events of a reader who came when all had left");
  close(MUST(open(own_path("unmet"), O_WRONLY)));
  CHECK_EQ(events_of(early), POLLHUP, "events of the FIFO that somebody has come to");
  CHECK(read(reader, got, 100) == 7 && memcmp(got, "content", 7) == 0, "content");
  MUST(write(writer, "more", 4));
  CHECK_EQ(read(reader, got, 100), 4, "written after the move");
  CHECK(read(both, got, 100) == 6 && memcmp(got, "itself", 6) == 0, "content of the one opened for both");
  int again = MUST(open(own_path("fifo"), O_WRONLY | O_NONBLOCK));
  MUST(write(again, "path", 4));
  CHECK_EQ(read(reader, got, 100), 4, "written through the path");
  return victim_end();
}
