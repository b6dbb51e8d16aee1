// A child that job control has stopped stays so, and goes on when it is told to.
#include "tree.h"

static int work(void* argument) {
  (void)argument;
  child_wait();
  return 5;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  pid_t child = spawn(work, NULL);
  MUST(kill(child, SIGSTOP));
  int status = 0;
  MUST(waitpid(child, &status, WUNTRACED));
  victim_wait();
  char text[4096], path[64];
  snprintf(path, sizeof path, "/proc/%d/stat", (int)child);
  read_file(path, text, sizeof text);
  char* state = strrchr(text, ')');
  CHECK(state != NULL && state[2] == 'T', "the child is not stopped: %s", text);
  MUST(kill(child, SIGCONT));
  expect_exit(child, 5, "the stopped child");
  return victim_end();
}
