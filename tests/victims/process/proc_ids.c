// Process, thread, group and session ids.
#include "tests/victims/victim.h"

int main(int argc, char** argv) {
  victim_start(argc, argv);
  pid_t pid = getpid(), group = getpgrp(), session = getsid(0);
  victim_wait();
  CHECK_EQ(getpid(), pid, "pid");
  CHECK_EQ(syscall(SYS_gettid), pid, "tid");
  CHECK_EQ(getpgrp(), group, "process group");
  CHECK_EQ(getsid(0), session, "session");
  pid_t child = fork();
  if (child == 0) _exit(getppid() == pid ? 9 : 1);
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 9, "fork and wait after the move");
  return victim_end();
}
