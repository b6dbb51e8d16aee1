// NUMA memory policy, of the task and of an area.
#include "tests/victims/victim.h"
enum { kBind = 2, kPreferred = 1, kInterleave = 3, kOfAddress = 2 };

static void get(void* at, int* mode, unsigned long* nodes) {
  *mode = -1;
  *nodes = 0;
  MUST((int)syscall(SYS_get_mempolicy, mode, nodes, 64UL, at, at ? kOfAddress : 0));
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  unsigned long node = 1, nodes;
  int mode;
  char* area = map_anon(32 * PAGE);
  bool known = syscall(SYS_set_mempolicy, kInterleave, &node, 64UL) == 0;
  if (known) {
    MUST((int)syscall(SYS_mbind, area, 16 * PAGE, kBind, &node, 64UL, 0));
    MUST((int)syscall(SYS_mbind, area + 16 * PAGE, 8 * PAGE, kPreferred, &node, 64UL, 0));
  } else {
    CHECK(errno == ENOSYS, "set_mempolicy: %s", strerror(errno));
  }
  fill(area, 32 * PAGE, 6);
  victim_wait();
  check_fill(area, 32 * PAGE, 6, "content");
  if (known) {
    get(NULL, &mode, &nodes);
    CHECK(mode == kInterleave && nodes == 1, "task policy %d of nodes %lx", mode, nodes);
    get(area, &mode, &nodes);
    CHECK(mode == kBind && nodes == 1, "first area's policy %d of nodes %lx", mode, nodes);
    get(area + 17 * PAGE, &mode, &nodes);
    CHECK(mode == kPreferred && nodes == 1, "second area's policy %d of nodes %lx", mode, nodes);
    get(area + 30 * PAGE, &mode, &nodes);
    CHECK(mode == 0, "policy of the rest %d", mode);
  }
  return victim_end();
}
