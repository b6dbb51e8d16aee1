// Signal-driven I/O: owner and signal of a descriptor.
#include "victim.h"
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
  victim_wait();
  CHECK_EQ(fcntl(ends[0], F_GETOWN), getpid(), "owner");
  CHECK_EQ(fcntl(ends[0], F_GETSIG), SIGRTMIN + 5, "signal");
  MUST(write(ends[1], "x", 1));
  CHECK_EQ(got, SIGRTMIN + 5, "signal received");
  return victim_end();
}
