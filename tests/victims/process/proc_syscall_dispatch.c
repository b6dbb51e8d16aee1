// Syscall user dispatch, of main and (with another selector) of a thread.
#include "tests/victims/victim.h"
#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#endif
static volatile char main_selector, thread_selector;
static volatile int caught, thread_caught;
static __thread volatile char* selector;
static _Atomic int go, ready;

static void on_dispatch(int number, siginfo_t* info, void* context) {
  (void)number, (void)context;
  *selector = 0;
  (selector == &main_selector ? &caught : &thread_caught)[0] = info->si_syscall;
}
static void* body(void* unused) {
  selector = &thread_selector;
  MUST(prctl(PR_SET_SYSCALL_USER_DISPATCH, 1, 0, 0, &thread_selector));
  ready = 1;
  wait_change(&go, 0);
  thread_selector = 1;
  syscall(SYS_getppid);
  CHECK_EQ(thread_caught, SYS_getppid, "system call dispatched in the thread");
  return unused;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  struct sigaction action = {.sa_sigaction = on_dispatch, .sa_flags = SA_SIGINFO};
  sigaction(SIGSYS, &action, NULL);
  selector = &main_selector;
  MUST(prctl(PR_SET_SYSCALL_USER_DISPATCH, 1, 0, 0, &main_selector));
  pthread_t thread = start_thread(body, NULL);
  wait_change(&ready, 0);
  victim_wait();
  main_selector = 1;
  syscall(SYS_getpgid, 0);
  CHECK_EQ(caught, SYS_getpgid, "system call dispatched");
  main_selector = 0;
  go = 1;
  pthread_join(thread, NULL);
  return victim_end();
}
