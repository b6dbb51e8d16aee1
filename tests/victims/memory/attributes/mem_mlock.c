// Locked memory: mlock, mlock2(ONFAULT) and MCL_FUTURE.
#include "tests/victims/victim.h"

static bool locked(const void* at) {
  return has_flag(at, "lo ");
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  char* area = map_anon(16 * PAGE);
  fill(area, 16 * PAGE, 81);
  MUST(mlock(area + 4 * PAGE, 4 * PAGE));
  char* lazy = map_anon(16 * PAGE);
  MUST(mlock2(lazy, 16 * PAGE, MLOCK_ONFAULT));
  lazy[0] = 1;
  CHECK(locked(area + 4 * PAGE) && locked(lazy) && !locked(area), "locks to begin with");
  unsigned char resident[16];

  victim_wait();

  check_fill(area, 16 * PAGE, 81, "content");
  CHECK(locked(area + 4 * PAGE), "mlock is lost");
  CHECK(!locked(area) && !locked(area + 8 * PAGE), "more is locked than was");
  CHECK(locked(lazy), "mlock2 is lost");
  MUST(mincore(lazy, 16 * PAGE, resident));
  CHECK(lazy[0] == 1, "content of the area locked on fault");
  CHECK((resident[8] & 1) == 0, "memory locked on fault was populated");
  return victim_end();
}
