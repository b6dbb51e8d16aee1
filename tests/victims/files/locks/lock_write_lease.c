// A write lease (F_SETLEASE), during which no other process may have the file open.
#include "tests/victims/victim.h"

static volatile sig_atomic_t told;

static void on_break(int signal) {
  (void)signal;
  told++;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  int fd = MUST(open(own_path("leased"), O_RDWR | O_CREAT, 0644));
  MUST(write(fd, "content", 7));
  signal(SIGIO, on_break);
  MUST(fcntl(fd, F_SETLEASE, F_WRLCK));

  victim_wait();

  CHECK_EQ(fcntl(fd, F_GETLEASE), F_WRLCK, "lease");
  CHECK_EQ(told, 0, "breaks before anybody opens it");
  int reader = open(own_path("leased"), O_RDONLY | O_NONBLOCK);
  CHECK(reader == -1 && errno == EWOULDBLOCK, "a reader may open what is leased");
  for (int turn = 0; told == 0 && turn < 2000; turn++) {
    struct timespec step = {0, 1000000};
    nanosleep(&step, NULL);
  }
  CHECK_EQ(told, 1, "told");
  MUST(fcntl(fd, F_SETLEASE, F_UNLCK));
  return victim_end();
}
