// membarrier registrations: the expedited commands still work without a new registration.
#include "tests/victims/victim.h"

#include <linux/membarrier.h>
#ifndef MEMBARRIER_CMD_GET_REGISTRATIONS
#define MEMBARRIER_CMD_GET_REGISTRATIONS (1 << 9)
#endif
static int membarrier(int command) {
  return (int)syscall(SYS_membarrier, command, 0, 0);
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  MUST(membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED));
  MUST(membarrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED));
  MUST(membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE));
  int before = membarrier(MEMBARRIER_CMD_GET_REGISTRATIONS);
  victim_wait();
  CHECK(membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0, "private expedited: %s", strerror(errno));
  CHECK(membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE) == 0, "sync core: %s", strerror(errno));
  CHECK_EQ(membarrier(MEMBARRIER_CMD_GET_REGISTRATIONS), before, "registrations");
  return victim_end();
}
