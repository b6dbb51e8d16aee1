// A deleted file of 1 GiB that is nearly all hole.
#include "tests/victims/victim.h"

int main(int argc, char** argv) {
  victim_start(argc, argv);
  const char* p = own_path("sparse");
  int fd = MUST(open(p, O_RDWR | O_CREAT, 0600));
  MUST(pwrite(fd, "one", 3, 5000));
  MUST(pwrite(fd, "two", 3, 700L << 20));
  MUST(ftruncate(fd, 1L << 30));
  MUST(unlink(p));
  struct stat a, b;
  MUST(fstat(fd, &a));

  victim_wait();

  MUST(fstat(fd, &b));
  CHECK_EQ(b.st_size, a.st_size, "size");
  CHECK(b.st_blocks <= a.st_blocks + 64, "blocks: %ld, were %ld", (long)b.st_blocks, (long)a.st_blocks);
  char t[4] = "";
  pread(fd, t, 3, 5000);
  CHECK(!strcmp(t, "one"), "one: %s", t);
  pread(fd, t, 3, 700L << 20);
  CHECK(!strcmp(t, "two"), "two: %s", t);
  return victim_end();
}
