// Another user without any capability: not dumpable, with its own files, and with no more rights than before.
#include "tests/victims/victim.h"

#include <grp.h>

int main(int argc, char** argv) {
  victim_start(argc, argv);
  gid_t groups[] = {54321, 11};
  int file = MUST(open(own_path("file"), O_RDWR | O_CREAT | O_TRUNC, 0644));
  MUST(fchown(file, 12345, 54321));
  MUST(fchmod(file, 0600));
  MUST(setgroups(2, groups));
  MUST(setresgid(54321, 54321, 54321));
  MUST(setresuid(12345, 12345, 12345));
  char* memory = map_anon(1 << 20);
  fill(memory, 1 << 20, 1);
  MUST(write(file, "mine", 4));

  victim_wait();

  check_fill(memory, 1 << 20, 1, "memory");
  CHECK(setresuid(0, 0, 0) == -1 && errno == EPERM, "can become root");
  CHECK_EQ(prctl(PR_GET_DUMPABLE), 0, "dumpable");
  CHECK_EQ(getuid(), 12345, "uid");
  CHECK_EQ(write(file, "more", 4), 4, "write to its own file");
  CHECK_EQ(lseek(file, 0, SEEK_END), 8, "size of its file");
  CHECK(kill(1, 0) == -1 && errno == EPERM, "may signal init");
  char big[10];
  CHECK(memory != NULL && snprintf(big, 10, "%d", getegid()) == 5, "gid");
  return victim_end();
}
