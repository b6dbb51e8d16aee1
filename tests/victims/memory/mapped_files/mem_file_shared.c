// Shared mappings of a file, read-write and read-only: writes reach the file and other mappings, before and after the
// move.
#include "tests/victims/victim.h"

int main(int argc, char** argv) {
  victim_start(argc, argv);
  size_t length = 64 * PAGE;
  int fd = MUST(open(own_path("file"), O_RDWR | O_CREAT | O_TRUNC, 0644));
  MUST(ftruncate(fd, (off_t)length));
  char* at = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  char* view = mmap(NULL, 4 * PAGE, PROT_READ, MAP_SHARED, fd, 8 * PAGE);
  MUST((long)at);
  MUST((long)view);
  int readonly = MUST(open(own_path("file"), O_RDONLY));
  char* plain = mmap(NULL, length, PROT_READ, MAP_SHARED, readonly, 0);
  MUST((long)plain);
  close(readonly);
  fill(at, length, 61);

  victim_wait();

  check_fill(at, length, 61, "mapping");
  check_fill(plain, length, 61, "read-only mapping");
  CHECK(memcmp(view, at + 8 * PAGE, 4 * PAGE) == 0, "mapping at an offset");
  uint64_t value = 0xfeedbeef;
  at[9 * PAGE] = 42;
  CHECK(view[PAGE] == 42 && plain[9 * PAGE] == 42, "other mappings do not see a write");
  CHECK(pread(fd, &value, 1, 9 * PAGE) == 1 && (char)value == 42, "the descriptor does not see a write");
  CHECK(pwrite(fd, "x", 1, 10 * PAGE) == 1 && at[10 * PAGE] == 'x', "the mapping does not see the descriptor's");
  CHECK(mprotect(plain, PAGE, PROT_READ | PROT_WRITE) == -1, "a mapping of a read-only file became writable");
  CHECK(mprotect(view, PAGE, PROT_READ | PROT_WRITE) == 0, "VM_MAYWRITE is lost: %s", strerror(errno));
  return victim_end();
}
