// Mappings longer than their file, private and shared; the file shrinks and grows meanwhile.
#include "tests/victims/victim.h"

#include <setjmp.h>

static sigjmp_buf j;
static void on(int s) {
  (void)s;
  siglongjmp(j, 1);
}

static bool bus(volatile char* p) {
  if (sigsetjmp(j, 1)) return true;
  (void)*p;
  return false;
}

int main(int argc, char** argv) {
  victim_loose_maps = true;
  victim_start(argc, argv);
  const char* path = own_path("short");
  int fd = MUST(open(path, O_RDWR | O_CREAT, 0600));
  MUST(ftruncate(fd, 3 * PAGE + 100));
  char* s = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  char* p = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
  strcpy(s, "shared");
  strcpy(p + PAGE, "private");
  strcpy(p + 2 * PAGE, "cut off");
  strcpy(s + 3 * PAGE + 200, "behind the end");
  MUST(ftruncate(fd, 2 * PAGE));
  int del = MUST(open(own_path("deleted"), O_RDWR | O_CREAT, 0600));
  MUST(ftruncate(del, PAGE + 1));
  char* d = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, del, 0);
  strcpy(d, "del");
  MUST(unlink(own_path("deleted")));
  signal(SIGBUS, on);

  victim_wait();

  CHECK(!strcmp(s, "shared"), "shared");
  CHECK(!strcmp(p, "shared"), "private of shared: %s", p);
  CHECK(!strcmp(p + PAGE, "private"), "private");
  CHECK(bus(p + 2 * PAGE), "p2: no SIGBUS");
  CHECK(bus(s + 2 * PAGE), "no SIGBUS");
  CHECK(bus(p + 5 * PAGE), "no SIGBUS p");
  CHECK(bus(d + 2 * PAGE), "no SIGBUS d");
  CHECK(!strcmp(d, "del"), "del");
  MUST(ftruncate(fd, 16 * PAGE));
  CHECK(!bus(s + 8 * PAGE), "grown");
  CHECK(!bus(p + 8 * PAGE), "grown p");
  s[8 * PAGE] = 3;
  CHECK_EQ(p[8 * PAGE], 3, "through");
  MUST(ftruncate(del, 8 * PAGE));
  d[7 * PAGE] = 1;
  char x = 0;
  pread(del, &x, 1, 7 * PAGE);
  CHECK_EQ(x, 1, "deleted, written after");
  unlink(path);
  return victim_end();
}
