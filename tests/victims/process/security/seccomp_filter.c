// Two seccomp filters on the process and one more on a thread: forbidden calls stay forbidden.
#include "tests/victims/victim.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
static _Atomic int go, ready;

static void refuse(int number, int error) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  struct sock_fprog program = {4, code};
  MUST((int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program));
}
static void* body(void* unused) {
  refuse(SYS_getsid, EXDEV);
  ready = 1;
  wait_change(&go, 0);
  CHECK(syscall(SYS_getsid, 0) == -1 && errno == EXDEV, "the thread's own filter is gone");
  CHECK(syscall(SYS_getppid) == -1 && errno == ENOTTY, "the thread has lost the process's filter");
  return unused;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  refuse(SYS_getppid, ENOTTY);
  refuse(SYS_getpgid, ENOANO);
  pthread_t thread = start_thread(body, NULL);
  wait_change(&ready, 0);
  victim_wait();
  CHECK_EQ(prctl(PR_GET_SECCOMP), 2, "seccomp mode");
  CHECK(syscall(SYS_getppid) == -1 && errno == ENOTTY, "the first filter is gone");
  CHECK(syscall(SYS_getpgid, 0) == -1 && errno == ENOANO, "the second filter is gone");
  CHECK(syscall(SYS_getsid, 0) >= 0, "main has got the thread's filter");
  go = 1;
  pthread_join(thread, NULL);
  return victim_end();
}
