// mlockall(MCL_CURRENT | MCL_FUTURE): memory that is mapped after the move is locked as well.
#include "tests/victims/victim.h"

int main(int argc, char** argv) {
  victim_start(argc, argv);
  MUST(mlockall(MCL_CURRENT | MCL_FUTURE));
  char* area = map_anon(16 * PAGE);
  fill(area, 16 * PAGE, 82);
  victim_wait();
  check_fill(area, 16 * PAGE, 82, "content");
  CHECK(has_flag(area, "lo "), "memory is no longer locked");
  char* later = map_anon(16 * PAGE);
  CHECK(has_flag(later, "lo "), "MCL_FUTURE is lost");
  return victim_end();
}
