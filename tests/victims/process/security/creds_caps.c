// Credentials of root after dropping most privileges: capability sets (bounding and ambient, too), securebits, groups,
// and file-system ids.
#include "tests/victims/victim.h"

#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/fsuid.h>

struct sets {
  uint32_t effective, permitted, inheritable;
};

int main(int argc, char** argv) {
  victim_start(argc, argv);
  gid_t groups[] = {7, 3, 12345, 99999, 5};
  MUST(setgroups(5, groups));
  MUST(prctl(PR_CAPBSET_DROP, 31 /* SETFCAP */));
  MUST(prctl(PR_CAPBSET_DROP, 22 /* SYS_BOOT */));
  unsigned long bits = SECBIT_KEEP_CAPS | SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_NOROOT;
  MUST(prctl(PR_SET_SECUREBITS, bits));
  MUST(setresgid(100, 101, 102));
  MUST(setresuid(1000, 1001, 1002));
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2] = {{0, 0, 0}, {0, 0, 0}};
  data[0].permitted = 1 << CAP_NET_ADMIN | 1 << CAP_KILL | 1 << CAP_SETUID;
  data[0].effective = 1 << CAP_KILL;
  data[0].inheritable = 1 << CAP_NET_ADMIN;
  MUST((int)syscall(SYS_capset, &header, data));
  MUST(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_ADMIN, 0, 0));
  setfsgid(102);
  setfsuid(1002);
  MUST(prctl(PR_SET_DUMPABLE, 1));

  victim_wait();  // compares /proc/self/status: ids, groups, all capability sets

  CHECK_EQ(prctl(PR_GET_SECUREBITS), bits, "securebits");
  CHECK_EQ(setfsuid((uid_t)-1), 1002, "fsuid");
  CHECK_EQ(setfsgid((gid_t)-1), 102, "fsgid");
  CHECK_EQ(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_NET_ADMIN, 0, 0), 1, "ambient capability");
  CHECK_EQ(prctl(PR_CAPBSET_READ, 31), 0, "dropped from the bounding set");
  CHECK_EQ(prctl(PR_CAPBSET_READ, 12), 1, "kept in the bounding set");
  uid_t real, effective, saved;
  MUST(getresuid(&real, &effective, &saved));
  CHECK(real == 1000 && effective == 1001 && saved == 1002, "uids %u %u %u", real, effective, saved);
  gid_t now[10];
  CHECK_EQ(getgroups(10, now), 5, "groups");
  return victim_end();
}
