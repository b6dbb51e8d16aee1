// Deleted files that are still open: content, holes, sharing, and that they can still be written.
#include "tests/victims/victim.h"

int main(int argc, char** argv) {
  victim_start(argc, argv);
  static char content[300000], got[300000];
  fill(content, sizeof content, 2);
  int one = MUST(open(own_path("ghost"), O_RDWR | O_CREAT | O_TRUNC, 0640));
  int two = MUST(open(own_path("ghost"), O_RDONLY));
  MUST(write(one, content, sizeof content));
  MUST(lseek(one, 4096, SEEK_SET));
  int duplicate = MUST(dup(one));
  MUST(unlink(own_path("ghost")));
  int sparse = MUST(open(own_path("sparse"), O_RDWR | O_CREAT | O_TRUNC, 0644));
  MUST(pwrite(sparse, "end", 3, 1 << 20));
  MUST(unlink(own_path("sparse")));
  int empty = MUST(open(own_path("empty"), O_RDWR | O_CREAT | O_TRUNC, 0644));
  MUST(unlink(own_path("empty")));
  // A new file with an old name: the two must not be confused.
  int old = MUST(open(own_path("again"), O_RDWR | O_CREAT | O_TRUNC, 0644));
  MUST(write(old, "old", 3));
  MUST(unlink(own_path("again")));
  int fresh = MUST(open(own_path("again"), O_RDWR | O_CREAT | O_EXCL, 0644));
  MUST(write(fresh, "fresh", 5));
  int anonymous = open("/tmp", O_RDWR | O_TMPFILE, 0600);
  if (anonymous >= 0) MUST(write(anonymous, "anonymous", 9));

  victim_wait();

  struct stat about, other;
  MUST(fstat(one, &about));
  MUST(fstat(two, &other));
  CHECK(about.st_ino == other.st_ino && about.st_dev == other.st_dev, "no longer the same file");
  CHECK_EQ(about.st_size, sizeof content, "size");
  CHECK_EQ(about.st_nlink, 0, "links");
  CHECK_EQ(about.st_mode & 07777, 0640, "mode");
  CHECK(pread(two, got, sizeof got, 0) == sizeof got && memcmp(got, content, sizeof got) == 0, "content");
  CHECK_EQ(lseek(duplicate, 0, SEEK_CUR), 4096, "position");
  CHECK_EQ(write(one, "new", 3), 3, "write");
  CHECK(pread(two, got, 3, 4096) == 3 && memcmp(got, "new", 3) == 0, "a write is not seen by the other");
  MUST(fstat(sparse, &about));
  CHECK_EQ(about.st_size, (1 << 20) + 3, "size of the sparse file");
  CHECK(about.st_blocks * 512 < 1 << 19, "the sparse file has been filled: %ld blocks", (long)about.st_blocks);
  CHECK(pread(sparse, got, 3, 1 << 20) == 3 && memcmp(got, "end", 3) == 0, "end of the sparse file");
  MUST(fstat(empty, &about));
  CHECK_EQ(about.st_size, 0, "size of the empty file");
  CHECK(pread(old, got, 10, 0) == 3 && memcmp(got, "old", 3) == 0, "the deleted file under a reused name");
  CHECK(pread(fresh, got, 10, 0) == 5 && memcmp(got, "fresh", 5) == 0, "the new file under a reused name");
  CHECK(anonymous < 0 || (pread(anonymous, got, 10, 0) == 9 && memcmp(got, "anonymous", 9) == 0), "O_TMPFILE");
  CHECK(access(own_path("ghost"), F_OK) != 0, "the deleted file is back");
  return victim_end();
}
