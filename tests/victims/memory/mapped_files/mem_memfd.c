// memfd: content through the descriptor and through shared and private mappings, offset, size, name and
// seals.
#include "tests/victims/victim.h"

int main(int argc, char** argv) {
  victim_start(argc, argv);
  size_t length = 2 << 20;
  int fd = MUST(memfd_create("crx victim", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  MUST(ftruncate(fd, (off_t)length));
  char* shared = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  char* private = mmap(NULL, length / 2, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 256 * PAGE);
  MUST((long)shared);
  MUST((long)private);
  fill(shared, length, 41);
  fill(private + PAGE, PAGE, 42);
  MUST(lseek(fd, 12345, SEEK_SET));
  int second = MUST(dup(fd));
  int sealed = MUST(memfd_create("sealed", MFD_ALLOW_SEALING));
  MUST(write(sealed, "content", 7));
  MUST(fcntl(sealed, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE));
  int unsealable = MUST(memfd_create("unsealable", 0));
  MUST(write(unsealable, "abc", 3));
  char name[64] = "", now[64] = "", link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  MUST(readlink(link, name, sizeof name - 1));

  victim_wait();

  MUST(readlink(link, now, sizeof now - 1));
  CHECK(strcmp(name, now) == 0, "the memfd is called %s, not %s", now, name);
  check_fill(shared, length, 41, "shared mapping");
  check_fill(private + PAGE, PAGE, 42, "changed page of the private mapping");
  CHECK(memcmp(private, shared + 256 * PAGE, PAGE) == 0, "unchanged page of the private mapping");
  CHECK_EQ(lseek(fd, 0, SEEK_CUR), 12345, "offset");
  MUST(lseek(second, 8, SEEK_SET));
  CHECK_EQ(lseek(fd, 0, SEEK_CUR), 8, "offset shared with its duplicate");
  uint64_t value = 0x1122334455667788;
  CHECK(pwrite(fd, &value, 8, 16) == 8, "pwrite: %s", strerror(errno));
  CHECK(*(uint64_t*)(shared + 16) == value, "the mapping does not see a write through the descriptor");
  CHECK_EQ(fcntl(fd, F_GET_SEALS), 0, "seals of the unsealed");
  CHECK_EQ(fcntl(sealed, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE, "seals");
  CHECK_EQ(fcntl(unsealable, F_GET_SEALS), F_SEAL_SEAL, "seals of the unsealable");
  CHECK(write(sealed, "x", 1) == -1 && errno == EPERM, "a sealed memfd can be written");
  char text[8] = "";
  CHECK(pread(sealed, text, 8, 0) == 7 && memcmp(text, "content", 7) == 0, "content of the sealed: %.7s", text);
  CHECK_EQ(lseek(sealed, 0, SEEK_CUR), 7, "offset of the sealed");
  struct stat about;
  MUST(fstat(fd, &about));
  CHECK_EQ(about.st_size, (long)length, "size");
  return victim_end();
}
