// flock: exclusive and shared locks are held without a gap, end when they should, and show the process that took them.
#include "tests/victims/process/tree/tree.h"

#include <sys/file.h>

// Returns the process that /proc shows for the lock of a descriptor; 0 if it is not visible from here.
static int shown(int fd) {
  char path[64], text[4096];
  snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
  read_file(path, text, sizeof text);
  const char* line = strstr(text, "FLOCK");
  int pid = -1;
  if (line != NULL) sscanf(line, "%*s %*s %*s %d", &pid);
  return pid;
}

static int lock_and_wait(void* argument) {
  int* fds = argument;
  MUST(flock(fds[0], LOCK_EX));
  if (write(fds[1], "x", 1) != 1) return 3;
  child_wait();
  return 0;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  char one[4300], two[4300];
  snprintf(one, sizeof one, "%s", own_path("exclusive"));
  snprintf(two, sizeof two, "%s", own_path("shared"));
  int exclusive = MUST(open(one, O_RDWR | O_CREAT, 0644)), shared = MUST(open(two, O_RDONLY | O_CREAT, 0644));
  MUST(flock(exclusive, LOCK_EX));
  MUST(flock(shared, LOCK_SH));
  int duplicate = MUST(dup(exclusive)), gate[2];
  MUST(pipe(gate));
  int by_child[2] = {MUST(open(own_path("inherited"), O_RDWR | O_CREAT, 0644)), gate[1]};
  pid_t child = spawn(lock_and_wait, by_child);
  char byte;
  MUST(read(gate[0], &byte, 1));

  victim_wait();

  CHECK_EQ(shown(exclusive), getpid(), "who has taken the exclusive lock");
  CHECK_EQ(shown(shared), getpid(), "who has taken the shared lock");
  CHECK_EQ(shown(by_child[0]), child, "who has taken the lock of an inherited description");
  expect_exit(child, 0, "the child");
  int other = MUST(open(one, O_RDWR));
  CHECK(flock(other, LOCK_SH | LOCK_NB) == -1 && errno == EWOULDBLOCK, "the exclusive lock is lost");
  close(exclusive);
  CHECK(flock(other, LOCK_SH | LOCK_NB) == -1, "the lock went with one of two descriptors");
  close(duplicate);
  CHECK(flock(other, LOCK_EX | LOCK_NB) == 0, "the lock outlives its descriptors: somebody holds one");
  other = MUST(open(two, O_RDWR));
  CHECK(flock(other, LOCK_EX | LOCK_NB) == -1 && errno == EWOULDBLOCK, "the shared lock is lost");
  CHECK(flock(other, LOCK_SH | LOCK_NB) == 0, "the shared lock became exclusive");
  return victim_end();
}
