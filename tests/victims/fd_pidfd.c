// A pidfd of the process itself.
#include "victim.h"

int main(int argc, char** argv) {
  victim_start(argc, argv);
  int fd = MUST((int)syscall(SYS_pidfd_open, getpid(), 0));
  signal(SIGUSR1, SIG_IGN);
  victim_wait();
  CHECK(syscall(SYS_pidfd_send_signal, fd, SIGUSR1, NULL, 0) == 0, "signal through it: %s", strerror(errno));
  char text[1024], path[64];
  snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
  read_file(path, text, sizeof text);
  char* at = strstr(text, "Pid:");
  CHECK(at != NULL && atoi(at + 4) == getpid(), "it is of process %s", at ? at + 4 : "none");
  return victim_end();
}
