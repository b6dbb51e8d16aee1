// A filter that kills the process for all but the few calls that it needs: no other call may ever run in it. The
// process is another user's and has no privileges.
#include "tests/victims/victim.h"

#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

int main(int argc, char** argv) {
  victim_start(argc, argv);
  char* memory = map_anon(2 << 20);
  fill(memory, 2 << 20, 4);
  MUST(setgroups(0, NULL));
  MUST(setresgid(999, 999, 999));
  MUST(setresuid(999, 999, 999));
  MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  static const int allowed[] = {SYS_read,   SYS_write,      SYS_close,           SYS_openat,       SYS_newfstatat,
                                SYS_access, SYS_exit_group, SYS_clock_nanosleep, SYS_nanosleep,    SYS_clock_gettime,
                                SYS_fcntl,  SYS_prlimit64,  SYS_restart_syscall, SYS_rt_sigreturn, SYS_lseek,
                                SYS_prctl};
  enum { kCount = sizeof allowed / sizeof *allowed };
  struct sock_filter code[kCount * 2 + 2];
  unsigned short n = 0;
  code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0);
  for (int i = 0; i < kCount; i++) {
    code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)allowed[i], 0, 1);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  }
  code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
  struct sock_fprog program = {n, code};
  MUST(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0));
  victim_wait();
  CHECK_EQ(prctl(PR_GET_SECCOMP), 2, "seccomp mode");
  check_fill(memory, 2 << 20, 4, "memory");
  return victim_end();
}
