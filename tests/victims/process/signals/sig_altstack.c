// Alternate signal stacks: main's, a thread's with SS_AUTODISARM, and a thread that is on it during the move.
#include "tests/victims/victim.h"

#include <ucontext.h>
#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1U << 31)
#endif
static _Atomic int go, inside;
static char main_stack[65536], auto_stack[65536], busy_stack[65536];
static char* volatile used[65];

static void on_signal(int number) {
  char here;
  used[number] = &here;
  if (number == SIGUSR2) {
    inside = 1;
    wait_change(&go, 0);
  }
}
static bool within(const char* at, const char* stack) {
  return at >= stack && at < stack + 65536;
}

static void query(const char* who, const char* stack, int flags) {
  stack_t now;
  MUST(sigaltstack(NULL, &now));
  CHECK(now.ss_sp == stack && now.ss_size == 65536 && now.ss_flags == flags, "%s: altstack %p size %zu flags %x", who,
        now.ss_sp, now.ss_size, (unsigned)now.ss_flags);
}
static void* automatic(void* unused) {
  stack_t mine = {.ss_sp = auto_stack, .ss_size = 65536, .ss_flags = (int)SS_AUTODISARM};
  MUST(sigaltstack(&mine, NULL));
  wait_change(&go, 0);
  query("autodisarm", auto_stack, (int)SS_AUTODISARM);
  pthread_kill(pthread_self(), SIGRTMIN);
  CHECK(within(used[SIGRTMIN], auto_stack), "autodisarm: handler did not run on it");
  return unused;
}
static void* busy(void* unused) {
  stack_t mine = {.ss_sp = busy_stack, .ss_size = 65536};
  MUST(sigaltstack(&mine, NULL));
  pthread_kill(pthread_self(), SIGUSR2);
  query("thread that was in its handler", busy_stack, 0);
  CHECK(within(used[SIGUSR2], busy_stack), "busy: handler did not run on it");
  return unused;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
  sigaction(SIGUSR1, &action, NULL);
  sigaction(SIGUSR2, &action, NULL);
  sigaction(SIGRTMIN, &action, NULL);
  stack_t mine = {.ss_sp = main_stack, .ss_size = 65536};
  MUST(sigaltstack(&mine, NULL));
  pthread_t one = start_thread(automatic, NULL), two = start_thread(busy, NULL);
  wait_change(&inside, 0);
  victim_wait();
  query("main", main_stack, 0);
  raise(SIGUSR1);
  CHECK(within(used[SIGUSR1], main_stack), "main: handler did not run on its alternate stack");
  go = 1;
  pthread_join(one, NULL);
  pthread_join(two, NULL);
  return victim_end();
}
