// A process that has made itself not dumpable: root can move it, and it stays not dumpable.
#include "tests/victims/victim.h"

int main(int argc, char** argv) {
  victim_start(argc, argv);
  char* memory = map_anon(1 << 20);
  fill(memory, 1 << 20, 9);
  MUST(prctl(PR_SET_DUMPABLE, 0));
  victim_wait();
  CHECK_EQ(prctl(PR_GET_DUMPABLE), 0, "dumpable");
  check_fill(memory, 1 << 20, 9, "memory");
  return victim_end();
}
