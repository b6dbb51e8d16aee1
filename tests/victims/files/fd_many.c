// Hundreds of descriptors with gaps, closed or moved standard ones, numbers up to the limit.
#include "tests/victims/victim.h"

int main(int argc, char** argv) {
  victim_start(argc, argv);
  struct rlimit limit;
  MUST(getrlimit(RLIMIT_NOFILE, &limit));
  close(0);
  int file = MUST(open(own_path("file"), O_RDWR | O_CREAT, 0644));
  CHECK_EQ(file, 0, "the lowest free number");
  MUST(write(file, "0123456789", 10));
  for (int i = 0; i < 200; i++) {
    int fd = MUST(fcntl(file, i % 2 ? F_DUPFD : F_DUPFD_CLOEXEC, 10 + i * 3));
    CHECK_EQ(fd, 10 + i * 3, "number");
  }
  for (int i = 0; i < 50; i++) MUST(open(own_path("file"), O_RDONLY));
  int last = (int)(limit.rlim_cur < 60000 ? limit.rlim_cur : 60000) - 1;
  MUST(dup2(file, last));
  close(2);
  victim_wait();
  MUST(lseek(file, 3, SEEK_SET));
  for (int i = 0; i < 200; i++) CHECK_EQ(lseek(10 + i * 3, 0, SEEK_CUR), 3, "shared position");
  CHECK_EQ(lseek(last, 0, SEEK_CUR), 3, "shared position of the last number");
  CHECK(fcntl(2, F_GETFD) == -1, "descriptor 2 is back");
  CHECK_EQ(dup(file), 2, "the lowest free number afterwards");
  return victim_end();
}
