// A description that a program shares with its child, which has called execve since: one position, under different
// descriptor numbers.
#include "tests/victims/process/tree/tree.h"

// The child after execve; its arguments are the go file and the number.
static int exec_ed(char** argv) {
  char text[4] = "";
  int fd = atoi(argv[2]);
  child_wait();
  MUST(read(fd, text, 3));
  return strcmp(text, "def") == 0 && lseek(fd, 0, SEEK_CUR) == 6 && fcntl(fd + 1, F_GETFD) == -1 ? 0 : 1;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  if (argc == 3) return exec_ed(argv);
  int file = MUST(open(own_path("file"), O_RDWR | O_CREAT, 0600));
  MUST(write(file, "abcdefghi", 9));
  MUST(lseek(file, 3, SEEK_SET));
  int high = MUST(fcntl(file, F_DUPFD_CLOEXEC, 700));
  pid_t child = MUST(fork());
  if (child == 0) {
    char number[16];
    snprintf(number, sizeof number, "%d", MUST(dup2(high, 500)));
    close(file);
    execl("/proc/self/exe", "exec-ed", argv[1], number, (char*)NULL);
    _exit(99);
  }
  char path[64], name[64];
  snprintf(path, sizeof path, "/proc/%d/comm", child);
  do read_file(path, name, sizeof name);
  while (strcmp(name, "exe\n") != 0);

  victim_wait();

  expect_exit(child, 0, "the child");
  CHECK_EQ(lseek(high, 0, SEEK_CUR), 6, "the position");
  CHECK(syscall(SYS_kcmp, getpid(), getpid(), 0, file, high) == 0, "two descriptions");
  MUST(unlink(own_path("file")));
  return victim_end();
}
