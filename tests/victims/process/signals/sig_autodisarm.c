// A thread in a handler on an alternate stack that is disabled meanwhile (SS_AUTODISARM), nested in another handler.
#include "tests/victims/victim.h"
#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1U << 31)
#endif
static char room[65536];
static _Atomic int st;
static void inner(int s) {
  (void)s;
  stack_t n;
  sigaltstack(0, &n);
  CHECK(n.ss_flags & SS_DISABLE, "inner: %x", n.ss_flags);
  st = 1;
  while (st != 2) {
    struct timespec t = {0, 3000000};
    nanosleep(&t, 0);
  }
  sigaltstack(0, &n);
  CHECK(n.ss_flags & SS_DISABLE, "inner after: %x", n.ss_flags);
  sigset_t m;
  pthread_sigmask(0, 0, &m);
  CHECK(sigismember(&m, SIGUSR1) && sigismember(&m, SIGUSR2), "mask");
}

static void outer(int s) {
  (void)s;
  raise(SIGUSR2);
}

static void* body(void* a) {
  (void)a;
  stack_t s = {.ss_sp = room, .ss_size = sizeof room, .ss_flags = (int)SS_AUTODISARM}, n;
  MUST(sigaltstack(&s, 0));
  pthread_kill(pthread_self(), SIGUSR1);
  sigaltstack(0, &n);
  CHECK(n.ss_sp == room && n.ss_size == sizeof room && (unsigned)n.ss_flags == SS_AUTODISARM, "afterwards: %p %x",
        n.ss_sp, n.ss_flags);
  return 0;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  struct sigaction o = {.sa_handler = outer, .sa_flags = SA_ONSTACK}, i = {.sa_handler = inner};
  sigaction(SIGUSR1, &o, 0);
  sigaction(SIGUSR2, &i, 0);
  pthread_t t = start_thread(body, 0);
  wait_change(&st, 0);

  victim_wait();

  st = 2;
  pthread_join(t, 0);
  return victim_end();
}
