// Processes that fork, call execve and end all the time; every one of them counts.
#include "tests/victims/process/tree/tree.h"

static int storm(void* argument) {
  (void)argument;
  victim_loose_maps = true;
  for (int turn = 0; access(victim_go, F_OK) != 0; turn++) {
    pid_t child = fork();
    if (child < 0) return 4;
    if (child == 0) {
      if (turn % 3 == 0) execl("/bin/true", "true", NULL);
      volatile uint64_t sum = 0;
      for (int i = 0; i < 1000 * (turn % 50); i++) sum += pattern(1, (uint64_t)i);
      (void)sum;
      _exit(turn % 3 == 0 ? 9 : 0);
    }
    int status = 0;
    if (waitpid(child, &status, 0) != child || status != 0) {
      victim_fail("child %d of the storm: wait status 0x%x, %s", turn, status, strerror(errno));
      return 5;
    }
  }
  return 0;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  pid_t storms[3];
  for (int i = 0; i < 3; i++) storms[i] = spawn(storm, NULL);
  victim_wait();
  for (int i = 0; i < 3; i++) expect_exit(storms[i], 0, "a storm");
  return victim_end();
}
