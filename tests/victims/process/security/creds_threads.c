// Threads with credentials of their own (raw system calls, as file servers do).
#include "tests/victims/victim.h"

#include <grp.h>
#include <sys/fsuid.h>
static _Atomic int go, ready;

static void* body(void* argument) {
  uid_t uid = 2000 + (uid_t)(long)argument;
  gid_t groups[] = {uid + 1, uid + 2};
  MUST((int)syscall(SYS_setgroups, 2, groups));
  MUST((int)syscall(SYS_setresgid, uid, uid, uid));
  MUST((int)syscall(SYS_setresuid, uid, uid, 0));
  ready++;
  wait_change(&go, 0);
  uid_t real, effective, saved;
  MUST((int)syscall(SYS_getresuid, &real, &effective, &saved));
  CHECK(real == uid && effective == uid && saved == 0, "thread %u: uids %u %u %u", uid, real, effective, saved);
  MUST((int)syscall(SYS_getresgid, &real, &effective, &saved));
  CHECK(real == uid && effective == uid && saved == uid, "thread %u: gids %u %u %u", uid, real, effective, saved);
  gid_t now[5];
  CHECK(syscall(SYS_getgroups, 5, now) == 2 && now[0] == uid + 1 && now[1] == uid + 2, "thread %u: groups", uid);
  return NULL;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  pthread_t threads[3];
  for (long i = 0; i < 3; i++) threads[i] = start_thread(body, (void*)i);
  while (ready != 3) sched_yield();
  victim_wait();
  CHECK(getuid() == 0 && geteuid() == 0, "main is no longer root");
  go = 1;
  for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
  return victim_end();
}
