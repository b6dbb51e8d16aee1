// Open files of the process's own namespaces: afterwards they lead to the namespaces that the process is in then.
#include "tests/victims/process/tree/tree.h"

static const char* const kKinds[] = {"cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"};
#define KINDS 8

static void check(const int* fds) {
  for (int i = 0; i < KINDS; i++) {
    char path[64];
    struct stat own, open;
    snprintf(path, sizeof path, "/proc/self/ns/%s", kKinds[i]);
    MUST(stat(path, &own));
    MUST(fstat(fds[i], &open));
    CHECK(own.st_ino == open.st_ino && own.st_dev == open.st_dev, "the %s namespace is another one", kKinds[i]);
  }
}

static int inherit(void* argument) {
  child_wait();
  check(argument);
  return child_failures();
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  int fds[KINDS];
  for (int i = 0; i < KINDS; i++) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/ns/%s", kKinds[i]);
    fds[i] = MUST(open(path, O_RDONLY | (i % 2 == 0 ? O_CLOEXEC : 0)));
  }
  int copy = MUST(dup(fds[0]));
  check(fds);
  pid_t child = spawn(inherit, fds);

  victim_wait();

  check(fds);
  struct stat one, two;
  MUST(fstat(fds[0], &one));
  MUST(fstat(copy, &two));
  CHECK_EQ(two.st_ino, one.st_ino, "the duplicate");
  expect_exit(child, 0, "the child");
  return victim_end();
}
