// Memory-deny-write-execute (PR_SET_MDWE): the process can be moved, and the denial still holds.
#include "tests/victims/victim.h"
#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#define PR_GET_MDWE 66
#endif

int main(int argc, char** argv) {
  victim_start(argc, argv);
  char* area = map_anon(4 * PAGE);
  fill(area, 4 * PAGE, 17);
  MUST(prctl(PR_SET_MDWE, 1, 0, 0, 0));
  victim_wait();
  check_fill(area, 4 * PAGE, 17, "content");
  CHECK_EQ(prctl(PR_GET_MDWE, 0, 0, 0, 0), 1, "MDWE");
  CHECK(mprotect(area, PAGE, PROT_READ | PROT_EXEC) == -1, "writable memory became executable");
  CHECK(mmap(NULL, PAGE, PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED, "rwx memory");
  return victim_end();
}
