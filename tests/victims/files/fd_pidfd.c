// Pidfds of the process itself and of a child that has ended.
#include "tests/victims/victim.h"

#include <poll.h>
#include <sys/wait.h>

int main(int argc, char** argv) {
  victim_start(argc, argv);
  int fd = MUST((int)syscall(SYS_pidfd_open, getpid(), 0));
  signal(SIGUSR1, SIG_IGN);
  pid_t child = fork();
  if (child == 0) _exit(0);
  int ended = MUST((int)syscall(SYS_pidfd_open, child, 0)), again = MUST((int)syscall(SYS_pidfd_open, child, 0));
  MUST(waitpid(child, NULL, 0));
  victim_wait();
  CHECK(syscall(SYS_pidfd_send_signal, fd, SIGUSR1, NULL, 0) == 0, "signal through it: %s", strerror(errno));
  char text[1024], path[64];
  snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
  read_file(path, text, sizeof text);
  char* at = strstr(text, "Pid:");
  CHECK(at != NULL && atoi(at + 4) == getpid(), "it is of process %s", at ? at + 4 : "none");
  CHECK(syscall(SYS_pidfd_send_signal, ended, 0, NULL, 0) == -1 && errno == ESRCH, "the child is alive: %s",
        strerror(errno));
  struct pollfd poll_ended = {ended, POLLIN, 0};
  CHECK(poll(&poll_ended, 1, 0) == 1 && (poll_ended.revents & POLLIN) != 0, "the child has not ended");
  struct stat one, other;
  MUST(fstat(ended, &one));
  MUST(fstat(again, &other));
  CHECK(one.st_ino == other.st_ino, "of two processes now");
  return victim_end();
}
