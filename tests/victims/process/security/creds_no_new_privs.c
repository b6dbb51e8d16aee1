// no_new_privs of another user that stays dumpable.
#include "tests/victims/victim.h"

#include <grp.h>

int main(int argc, char** argv) {
  victim_start(argc, argv);
  MUST(setgroups(0, NULL));
  MUST(setresgid(4321, 4321, 4321));
  MUST(setresuid(4321, 4321, 4321));
  MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  MUST(prctl(PR_SET_DUMPABLE, 1));
  victim_wait();
  CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1, "no_new_privs");
  CHECK_EQ(prctl(PR_GET_DUMPABLE), 1, "dumpable");
  CHECK_EQ(getuid(), 4321, "uid");
  return victim_end();
}
