// Leases (F_SETLEASE): a read lease is held, signals its owner as requested when another process wants to write, and
// ends.
#include "tests/victims/victim.h"

static volatile sig_atomic_t told, told_fd = -1;

static void on_break(int signal, siginfo_t* info, void* context) {
  (void)signal;
  (void)context;
  told++;
  told_fd = info->si_fd;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  char path[4300];
  snprintf(path, sizeof path, "%s", own_path("leased"));
  close(MUST(open(path, O_WRONLY | O_CREAT, 0644)));
  int fd = MUST(open(path, O_RDONLY));
  struct sigaction action = {.sa_sigaction = on_break, .sa_flags = SA_SIGINFO | SA_RESTART};
  MUST(sigaction(SIGRTMIN + 3, &action, NULL));
  MUST(fcntl(fd, F_SETSIG, SIGRTMIN + 3));
  MUST(fcntl(fd, F_SETLEASE, F_RDLCK));

  victim_wait();

  CHECK_EQ(fcntl(fd, F_GETLEASE), F_RDLCK, "lease");
  CHECK_EQ(fcntl(fd, F_GETSIG), SIGRTMIN + 3, "signal of the lease");
  CHECK_EQ(fcntl(fd, F_GETOWN), getpid(), "owner of the lease");
  CHECK_EQ(told, 0, "breaks before anybody wants to write");
  int writer = open(path, O_WRONLY | O_NONBLOCK);
  CHECK(writer == -1 && errno == EWOULDBLOCK, "a writer may open what is leased");
  for (int turn = 0; told == 0 && turn < 2000; turn++) {
    struct timespec step = {0, 1000000};
    nanosleep(&step, NULL);
  }
  CHECK(told == 1 && told_fd == fd, "told %d times of fd %d", (int)told, (int)told_fd);
  MUST(fcntl(fd, F_SETLEASE, F_UNLCK));
  writer = open(path, O_WRONLY | O_NONBLOCK);
  CHECK(writer >= 0, "nobody may write: the lease outlived its end");
  return victim_end();
}
