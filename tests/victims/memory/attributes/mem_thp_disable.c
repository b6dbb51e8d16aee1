// PR_SET_THP_DISABLE.
#include "tests/victims/victim.h"

int main(int argc, char** argv) {
  victim_start(argc, argv);
  MUST(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
  char* area = map_anon(4 << 20);
  fill(area, 4 << 20, 18);
  victim_wait();
  check_fill(area, 4 << 20, 18, "content");
  CHECK_EQ(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), 1, "THP_DISABLE");
  return victim_end();
}
