// Signal-driven I/O: owner and signal of a pipe and a FIFO.
#include "tests/victims/victim.h"
static volatile sig_atomic_t got;
static void on_signal(int number) {
  got = number;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  int ends[2];
  signal(SIGRTMIN + 5, on_signal);
  MUST(pipe(ends));
  MUST(fcntl(ends[0], F_SETOWN, getpid()));
  MUST(fcntl(ends[0], F_SETSIG, SIGRTMIN + 5));
  MUST(fcntl(ends[0], F_SETFL, O_ASYNC | O_NONBLOCK));
  MUST(mkfifo(own_path("fifo"), 0600));
  int fifo = MUST(open(own_path("fifo"), O_RDWR));
  struct f_owner_ex thread = {F_OWNER_TID, getpid()}, now = {0, 0};
  MUST(fcntl(fifo, F_SETOWN_EX, &thread));
  MUST(fcntl(fifo, F_SETSIG, SIGRTMIN + 5));
  MUST(fcntl(fifo, F_SETFL, O_ASYNC));
  victim_wait();
  CHECK_EQ(fcntl(ends[0], F_GETOWN), getpid(), "owner");
  CHECK_EQ(fcntl(ends[0], F_GETSIG), SIGRTMIN + 5, "signal");
  MUST(write(ends[1], "x", 1));
  CHECK_EQ(got, SIGRTMIN + 5, "signal received");
  got = 0;
  CHECK(fcntl(fifo, F_GETOWN_EX, &now) == 0 && now.type == F_OWNER_TID && now.pid == getpid(), "owner of the FIFO");
  MUST(write(fifo, "x", 1));
  CHECK_EQ(got, SIGRTMIN + 5, "signal of the FIFO");
  return victim_end();
}
