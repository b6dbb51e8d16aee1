// Children whose end sends another signal than SIGCHLD, or none: their parent waits for them with __WCLONE.
#include "tests/victims/process/tree/tree.h"

static int gate[2];  // its end of file ends them
static volatile sig_atomic_t told;
static void on_end(int number) {
  told = number;
}

static pid_t clone_with(int signal_number, int result) {
  pid_t pid = MUST((pid_t)syscall(SYS_clone, signal_number, 0, 0, 0, 0));
  if (pid != 0) return pid;
  char byte;
  close(gate[1]);
  _exit(read(gate[0], &byte, 1) == 0 ? result : 99);
}

static void expect(pid_t pid, int flags, int result, const char* what) {
  int status = 0;
  pid_t got = waitpid(pid, &status, flags);
  CHECK(got == pid && WIFEXITED(status) && WEXITSTATUS(status) == result, "%s: waitpid gives %d, status %x", what,
        (int)got, status);
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  signal(SIGUSR1, on_end);
  MUST(pipe(gate));
  pid_t loud = clone_with(SIGUSR1, 3), silent = clone_with(0, 4), usual = clone_with(SIGCHLD, 5);

  victim_wait();

  close(gate[1]);
  int status;
  CHECK(waitpid(loud, &status, 0) == -1 && errno == ECHILD, "the child with another signal has become a usual one");
  expect(loud, __WCLONE, 3, "the child with another signal");
  CHECK_EQ(told, SIGUSR1, "its signal");
  CHECK(waitpid(silent, &status, 0) == -1 && errno == ECHILD, "the child without a signal has become a usual one");
  expect(silent, __WCLONE, 4, "the child without a signal");
  expect(usual, 0, 5, "the usual child");
  return victim_end();
}
