// Private mappings of a file: changed pages keep their change, the others show the file, and the file stays unchanged.
#include "tests/victims/victim.h"

int main(int argc, char** argv) {
  victim_start(argc, argv);
  size_t length = 64 * PAGE;
  char* content = map_anon(length);
  fill(content, length, 51);
  int fd = MUST(open(own_path("file"), O_RDWR | O_CREAT | O_TRUNC, 0644));
  MUST(write(fd, content, length - 100));  // the last page is only partly in the file
  char* at = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
  char* offset = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 10 * PAGE);
  char* readonly = mmap(NULL, 8 * PAGE, PROT_READ, MAP_PRIVATE, fd, 4 * PAGE);
  char* opaque = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
  MUST((long)at);
  MUST((long)offset);
  MUST((long)readonly);
  MUST((long)opaque);
  fill(opaque, PAGE, 54);
  MUST(mprotect(opaque, 8 * PAGE, PROT_NONE));
  fill(at + 3 * PAGE, PAGE, 52);
  memset(at + 5 * PAGE, 0, PAGE);
  fill(offset + 2 * PAGE, PAGE, 53);
  close(fd);

  victim_wait();

  check_fill(at + 3 * PAGE, PAGE, 52, "changed page");
  check_zero(at + 5 * PAGE, PAGE, "zeroed page");
  check_fill(offset + 2 * PAGE, PAGE, 53, "changed page at an offset");
  CHECK(memcmp(at, content, 3 * PAGE) == 0, "unchanged pages");
  CHECK(memcmp(at + 6 * PAGE, content + 6 * PAGE, length - 6 * PAGE - 100) == 0, "unchanged pages to the end");
  check_zero(at + length - 96, 96, "behind the end of the file");
  CHECK(memcmp(offset, content + 10 * PAGE, 2 * PAGE) == 0, "unchanged pages at an offset");
  CHECK(memcmp(readonly, content + 4 * PAGE, 8 * PAGE) == 0, "read-only pages");
  MUST(mprotect(opaque, 8 * PAGE, PROT_READ | PROT_WRITE));
  check_fill(opaque, PAGE, 54, "changed page behind PROT_NONE");
  CHECK(memcmp(opaque + PAGE, content + PAGE, 7 * PAGE) == 0, "unchanged pages behind PROT_NONE");
  fd = MUST(open(own_path("file"), O_RDONLY));
  char* now = map_anon(length);
  CHECK(read(fd, now, length) == (ssize_t)length - 100, "size of the file");
  CHECK(memcmp(now, content, length - 100) == 0, "the file has changed");
  return victim_end();
}
