// vforking GO-FILE: a process that waits in vfork(2), where it cannot be stopped, until its child ends, which happens
// when the file GO-FILE.child exists.
#include "../../victims/process/tree/tree.h"

static char release[4200];

int main(int argc, char** argv) {
  victim_start(argc, argv);
  snprintf(release, sizeof release, "%s.child", victim_go);
  uint64_t* memory = map_anon(64 * PAGE);
  fill(memory, 64 * PAGE, 3);
  victim_say("ready\n");
  pid_t pid = vfork();
  if (pid == 0) {
    while (access(release, F_OK) != 0) usleep(2000);
    _exit(7);
  }
  expect_exit(pid, 7, "the child");
  victim_pause();
  check_fill(memory, 64 * PAGE, 3, "the memory");
  return victim_end();
}
