// Threads with their own working directory, root directory and umask (unshare(CLONE_FS)), one of them as another user
// in a removed directory; the other threads keep the process's.
#include "tests/victims/victim.h"

static char root[4300];
static _Atomic int settled, go;

static void check_place(const char* who, const char* directory, mode_t mask) {
  char now[4300] = "";
  if (getcwd(now, sizeof now) == NULL || strcmp(now, directory) != 0)
    victim_fail("%s is in %s, not in %s", who, now, directory);
  CHECK_EQ(umask(mask), mask, who);
}

static void* with_process(void* unused) {
  settled++;
  wait_change(&go, 0);
  check_place("a thread like the others", "/etc", 022);
  return unused;
}

static void* elsewhere(void* unused) {
  MUST(unshare(CLONE_FS));
  MUST(chdir("/usr"));
  umask(0123);
  settled++;
  wait_change(&go, 0);
  check_place("the thread elsewhere", "/usr", 0123);
  return unused;
}

static void* below(void* unused) {
  MUST(unshare(CLONE_FS));
  MUST(chroot(root));
  MUST(mkdir("/removed", 0711));
  MUST(chdir("/removed"));
  MUST(rmdir("/removed"));
  MUST((int)syscall(SYS_setresuid, 7, 7, 7));
  settled++;
  wait_change(&go, 0);
  struct stat about;
  CHECK(access("/inside", F_OK) == 0 && access("/etc", F_OK) != 0, "the thread has another root directory");
  CHECK(stat(".", &about) == 0 && about.st_nlink == 0 && (about.st_mode & 0777) == 0711,
        "its directory is not the removed one");
  return unused;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  snprintf(root, sizeof root, "%s", own_path("root"));
  MUST(mkdir(root, 0755));
  char inside[4310];
  snprintf(inside, sizeof inside, "%s/inside", root);
  MUST(mkdir(inside, 0755));
  umask(022);
  MUST(chdir("/etc"));
  pthread_t threads[] = {start_thread(with_process, NULL), start_thread(elsewhere, NULL), start_thread(below, NULL)};
  for (int now = 0; (now = settled) < 3;) wait_change(&settled, now);

  victim_wait();

  check_place("the process", "/etc", 022);
  go = 1;
  for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
  return victim_end();
}
