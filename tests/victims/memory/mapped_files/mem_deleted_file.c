// Mappings of a deleted file: private and shared, with and without an open descriptor.
#include "tests/victims/victim.h"

int main(int argc, char** argv) {
  victim_start(argc, argv);
  victim_loose_maps = true;  // a deleted file may have another name afterwards
  size_t length = 16 * PAGE;
  char* shared[2];
  char* private[2];
  int kept = -1;
  for (int i = 0; i < 2; i++) {
    int fd = MUST(open(own_path("file"), O_RDWR | O_CREAT | O_TRUNC, 0644));
    MUST(ftruncate(fd, (off_t)length));
    shared[i] = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    private[i] = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    MUST((long)shared[i]);
    MUST((long)private[i]);
    fill(shared[i], length, 71 + (uint64_t)i);
    fill(private[i] + PAGE, PAGE, 73);
    MUST(unlink(own_path("file")));
    if (i == 0)
      kept = fd;
    else
      close(fd);
  }

  victim_wait();

  for (int i = 0; i < 2; i++) {
    check_fill(shared[i], length, 71 + (uint64_t)i, "shared mapping of a deleted file");
    check_fill(private[i] + PAGE, PAGE, 73, "changed page of a deleted file");
    CHECK(memcmp(private[i] + 2 * PAGE, shared[i] + 2 * PAGE, length - 2 * PAGE) == 0, "unchanged pages");
    shared[i][5 * PAGE] = 9;
    CHECK(private[i][5 * PAGE] == 9, "the two mappings are no longer of one file");
  }
  char byte = 0;
  CHECK(pread(kept, &byte, 1, 5 * PAGE) == 1 && byte == 9, "mapping and descriptor are no longer of one file");
  struct stat about;
  MUST(fstat(kept, &about));
  CHECK_EQ(about.st_nlink, 0, "links of the deleted file");
  CHECK(access(own_path("file"), F_OK) != 0, "the deleted file is back");
  return victim_end();
}
