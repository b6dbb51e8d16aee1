// Filters that the threads of a process share, and one thread with another on top: only that thread can synchronize the
// others with its filters (SECCOMP_FILTER_FLAG_TSYNC).
#include "tests/victims/victim.h"

#include <linux/filter.h>
#include <linux/seccomp.h>

enum { ABOVE, SHARED, LATER, COUNT };
static _Atomic int ready, turn, top_tid, done;
static int refused_by[COUNT][3];

// Makes a system call fail with the given errno.
static long deny(int call, int error, unsigned flags) {
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)call, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

static void try_all(int who) {
  const int calls[3] = {SYS_getpriority, SYS_getpgid, SYS_getsid};
  for (int i = 0; i < 3; i++) refused_by[who][i] = syscall(calls[i], 0, 0) == -1 ? errno : 0;
}

static void wait_turn(int mine) {
  while (turn < mine) usleep(1000);
}

static void* follower(void* unused) {
  ready++;
  wait_turn(2);
  try_all(SHARED);
  done++;
  return unused;
}

static void* top(void* unused) {
  if (deny(SYS_getpgid, EDOM, 0) != 0) victim_setup_failed("the second filter", __LINE__);
  top_tid = (int)syscall(SYS_gettid);
  ready++;
  wait_turn(1);
  long answer = deny(SYS_getsid, EXDEV, SECCOMP_FILTER_FLAG_TSYNC);
  CHECK_EQ(answer, 0, "the thread with one filter more makes the others follow");
  try_all(ABOVE);
  turn = 2;
  done++;
  return unused;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  if (deny(SYS_getpriority, ENOTTY, 0) != 0) victim_setup_failed("the first filter", __LINE__);
  pthread_t one = start_thread(follower, NULL), other = start_thread(top, NULL);
  while (ready < 2) usleep(1000);

  victim_wait();

  CHECK_EQ(deny(SYS_getsid, EXDEV, SECCOMP_FILTER_FLAG_TSYNC), top_tid, "whose filter is not ours");
  turn = 1;
  while (done < 2) usleep(1000);
  pthread_join(one, NULL);
  pthread_join(other, NULL);
  try_all(LATER);
  for (int who = 0; who < COUNT; who++) {
    CHECK_EQ(refused_by[who][0], ENOTTY, "the filter that all share");
    CHECK_EQ(refused_by[who][1], EDOM, "the one that came before the move");
    CHECK_EQ(refused_by[who][2], EXDEV, "the one that came after it");
  }
  return victim_end();
}
