// Personality flags.
#include "tests/victims/victim.h"

#include <sys/personality.h>

int main(int argc, char** argv) {
  victim_start(argc, argv);
  int wanted = ADDR_NO_RANDOMIZE | MMAP_PAGE_ZERO | STICKY_TIMEOUTS | WHOLE_SECONDS;
  MUST(personality((unsigned long)wanted));
  victim_wait();
  CHECK_EQ(personality(0xffffffff), wanted, "personality");
  return victim_end();
}
