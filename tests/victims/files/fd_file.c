// Regular files: positions, flags, shared and separate descriptions, close-on-exec, high numbers.
#include "tests/victims/victim.h"

int main(int argc, char** argv) {
  victim_start(argc, argv);
  static char content[100000];
  fill(content, sizeof content, 1);
  int writer = MUST(open(own_path("file"), O_RDWR | O_CREAT | O_TRUNC, 0644));
  MUST(write(writer, content, sizeof content));
  MUST(lseek(writer, 1234, SEEK_SET));
  int duplicate = MUST(dup(writer));
  int reader = MUST(open(own_path("file"), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  MUST(lseek(reader, 777, SEEK_SET));
  int appender = MUST(open(own_path("log"), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0644));
  MUST(write(appender, "one\n", 4));
  int beyond = MUST(open(own_path("beyond"), O_RDWR | O_CREAT | O_TRUNC, 0644));
  MUST(lseek(beyond, 5000000000, SEEK_SET));
  int direct = open(own_path("file"), O_RDONLY | O_DIRECT);
  int synchronous = MUST(open(own_path("sync"), O_WRONLY | O_CREAT | O_SYNC | O_NOATIME, 0644));
  int path = MUST(open(own_path("file"), O_PATH));
  int high = MUST(fcntl(reader, F_DUPFD, 800));

  victim_wait();  // compares numbers, close-on-exec and status flags

  char got[16];
  CHECK_EQ(lseek(writer, 0, SEEK_CUR), 1234, "position");
  CHECK(read(duplicate, got, 8) == 8 && memcmp(got, content + 1234, 8) == 0, "read at the position");
  CHECK_EQ(lseek(writer, 0, SEEK_CUR), 1242, "position shared with the duplicate");
  CHECK_EQ(lseek(reader, 0, SEEK_CUR), 777, "position of another description");
  CHECK(read(high, got, 8) == 8 && memcmp(got, content + 777, 8) == 0, "read through the high number");
  CHECK_EQ(lseek(reader, 0, SEEK_CUR), 785, "position shared with the high number");
  CHECK(write(reader, "x", 1) == -1 && errno == EBADF, "a read-only descriptor can be written");
  lseek(appender, 0, SEEK_SET);
  CHECK_EQ(write(appender, "two\n", 4), 4, "append");
  struct stat about;
  MUST(fstat(appender, &about));
  CHECK_EQ(about.st_size, 8, "size after append");
  CHECK_EQ(lseek(beyond, 0, SEEK_CUR), 5000000000, "position beyond the end");
  CHECK_EQ(write(synchronous, "x", 1), 1, "synchronous write");
  CHECK(fstat(path, &about) == 0 && about.st_size == sizeof content, "O_PATH descriptor");
  (void)direct;
  return victim_end();
}
