// The object behind a shared anonymous mapping, seen through a descriptor and private mappings: pages not written in
// these stay the object's, also when no shared mapping is left.
#include "tests/victims/victim.h"

static int open_object(const char* at, size_t bytes) {
  char path[96];
  snprintf(path, sizeof path, "/proc/self/map_files/%lx-%lx", (long)at, (long)at + (long)bytes);
  return MUST(open(path, O_RDWR | O_CLOEXEC));
}

static char* map_at(int fd, int flags, long page, long pages) {
  char* at = mmap(NULL, (size_t)pages * PAGE, PROT_READ | PROT_WRITE, flags, fd, page * (long)PAGE);
  if (at == MAP_FAILED) victim_setup_failed("mmap", __LINE__);
  return at;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  char* all = map_at(-1, MAP_SHARED | MAP_ANONYMOUS, 0, 8);
  for (int i = 0; i < 6; i++) all[i * PAGE] = (char)(10 + i);
  int fd = open_object(all, 8 * PAGE);
  char* mine = map_at(fd, MAP_PRIVATE, 2, 5);
  char* tail = map_at(fd, MAP_SHARED, 4, 4);
  mine[PAGE] = 77;  // page 3 of the object
  MUST(lseek(fd, 123, SEEK_SET));

  char* lone = map_at(-1, MAP_SHARED | MAP_ANONYMOUS, 0, 4);
  for (int i = 0; i < 4; i++) lone[i * PAGE] = (char)(50 + i);
  int gone = open_object(lone, 4 * PAGE);
  char* left = map_at(gone, MAP_PRIVATE, 0, 4);
  left[0] = 99;
  MUST(close(gone));
  MUST(munmap(lone, 4 * PAGE));

  victim_wait();

  CHECK_EQ(mine[0], 12, "a page of the object in the private mapping");
  CHECK_EQ(mine[PAGE], 77, "its own page");
  CHECK_EQ(all[3 * PAGE], 13, "the object's page below that");
  all[4 * PAGE] = 44;
  CHECK_EQ(tail[0], 44, "written by the first mapping, seen by the second");
  CHECK_EQ(mine[2 * PAGE], 44, "and by the private one");
  tail[2 * PAGE] = 66;  // a page that was never touched
  CHECK_EQ(mine[4 * PAGE], 66, "a new page in the private mapping");
  char byte = 0;
  CHECK_EQ(lseek(fd, 0, SEEK_CUR), 123, "the descriptor's position");
  CHECK_EQ(pread(fd, &byte, 1, 6 * (long)PAGE), 1, "a read");
  CHECK_EQ(byte, 66, "what the descriptor reads");
  CHECK_EQ(left[0], 99, "the lone mapping's own page");
  for (int i = 1; i < 4; i++) CHECK_EQ(left[i * PAGE], 50 + i, "a page of an object that only a private mapping shows");
  return victim_end();
}
