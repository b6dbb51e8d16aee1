// FIFOs whose both ends are inside, with content; one opened for both, one deleted since.
#include "victim.h"

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
  victim_wait();
  CHECK(read(reader, got, 100) == 7 && memcmp(got, "content", 7) == 0, "content");
  MUST(write(writer, "more", 4));
  CHECK_EQ(read(reader, got, 100), 4, "written after the move");
  CHECK(read(both, got, 100) == 6 && memcmp(got, "itself", 6) == 0, "content of the one opened for both");
  int again = MUST(open(own_path("fifo"), O_WRONLY | O_NONBLOCK));
  MUST(write(again, "path", 4));
  CHECK_EQ(read(reader, got, 100), 4, "written through the path");
  return victim_end();
}
