// Block devices: numbers, position, flags, sharing by two descriptors, content. If no disk can be opened, their absence
// is checked.
#include "tests/victims/victim.h"

#include <sys/sysmacros.h>

// Opens any disk that can be opened: a loop device without a file, a RAM disk. -1: none.
static int open_disk(int flags) {
  char path[4300];
  snprintf(path, sizeof path, "%s", own_path("disk"));
  static const int disks[][2] = {{254, 0}, {253, 0}, {259, 0}, {8, 0}, {1, 0}, {7, 0}};
  for (unsigned i = 0; i < sizeof disks / sizeof *disks; i++) {
    unlink(path);
    if (mknod(path, S_IFBLK | 0600, makedev(disks[i][0], disks[i][1])) != 0) return -1;
    int fd = open(path, flags);
    if (fd >= 0) return fd;
  }
  return -1;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  int fd = open_disk(O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) {
    victim_wait();
    return victim_end();
  }
  struct stat before, after;
  MUST(fstat(fd, &before));
  char content[512], again[512];
  memset(content, 0, sizeof content);
  memset(again, 0, sizeof again);
  long length = pread(fd, content, sizeof content, 0);
  long end = MUST(lseek(fd, 0, SEEK_END)), place = MUST(lseek(fd, end >= 4096 ? 1536 : 0, SEEK_SET));
  int second = MUST(dup(fd));
  int flags = MUST(fcntl(fd, F_GETFL));

  victim_wait();

  MUST(fstat(fd, &after));
  CHECK_EQ(after.st_rdev, before.st_rdev, "device number");
  CHECK(S_ISBLK(after.st_mode), "it is no block device");
  CHECK_EQ(fcntl(fd, F_GETFL), flags, "flags");
  CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC, "close-on-exec");
  CHECK_EQ(fcntl(second, F_GETFD), 0, "close-on-exec of the duplicate");
  CHECK_EQ(lseek(fd, 0, SEEK_CUR), place, "position");
  if (end >= 4096) {
    MUST(lseek(second, 1024, SEEK_SET));
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 1024, "position shared with its duplicate");
  }
  CHECK_EQ(lseek(fd, 0, SEEK_END), end, "size");
  CHECK(pread(fd, again, sizeof again, 0) == length && memcmp(content, again, sizeof content) == 0, "content");
  return victim_end();
}
