// Signal actions: handlers, flags, masks and ignored signals; and they still work.
#include "tests/victims/victim.h"
struct kernel_action {
  void* handler;
  unsigned long flags;
  void* restorer;
  uint64_t mask;
};
static struct kernel_action before[65];
static volatile sig_atomic_t got[65];
static void plain(int number) {
  got[number]++;
}
static void informed(int number, siginfo_t* info, void* context) {
  got[number] += context != NULL && info->si_signo == number ? 1 : 100;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  for (int i = 1; i < 65; i++) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    if (i == SIGKILL || i == SIGSTOP || i == 32 || i == 33) continue;
    for (int other = 1; other < 65; other++)
      if (pattern((uint64_t)i, (uint64_t)other) % 3 == 0) sigaddset(&action.sa_mask, other);
    static const int flags[] = {SA_RESTART, SA_NODEFER, SA_RESETHAND, SA_NOCLDSTOP, SA_NOCLDWAIT, SA_ONSTACK};
    for (int f = 0; f < 6; f++)
      if (pattern((uint64_t)i, 100 + (uint64_t)f) % 2) action.sa_flags |= flags[f];
    if (i % 5 == 0)
      action.sa_handler = SIG_IGN;
    else if (i % 5 == 1)
      action.sa_handler = plain;
    else if (i % 5 == 2)
      action.sa_sigaction = informed, action.sa_flags |= SA_SIGINFO;
    else if (i % 5 == 3)
      action.sa_handler = SIG_DFL;
    else
      continue;
    if (i == SIGTRAP) action.sa_handler = plain, action.sa_flags &= ~SA_SIGINFO;
    MUST(sigaction(i, &action, NULL));
  }
  for (int i = 1; i < 65; i++) syscall(SYS_rt_sigaction, i, NULL, &before[i], 8);

  victim_wait();

  for (int i = 1; i < 65; i++) {
    struct kernel_action now;
    memset(&now, 0, sizeof now);
    syscall(SYS_rt_sigaction, i, NULL, &now, 8);
    CHECK(memcmp(&now, &before[i], sizeof now) == 0, "signal %d: handler %p flags %lx mask %llx, not %p %lx %llx", i,
          now.handler, now.flags, (unsigned long long)now.mask, before[i].handler, before[i].flags,
          (unsigned long long)before[i].mask);
  }
  for (int i = 1; i < 65; i++)
    if (before[i].handler == (void*)plain || before[i].handler == (void*)informed) {
      raise(i);
      CHECK_EQ(got[i], 1, "handler ran");
    }
  return victim_end();
}
