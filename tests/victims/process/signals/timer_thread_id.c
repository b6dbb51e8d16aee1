// POSIX timers that signal one thread, on CPU clocks of a thread, on CLOCK_TAI and CLOCK_BOOTTIME; a pending signal of
// a timer.
#include "tests/victims/victim.h"

static _Atomic int tid, state, seen;
static _Atomic int handler_tid;
static void on(int s, siginfo_t* i, void* c) {
  (void)s;
  (void)c;
  handler_tid = (int)syscall(SYS_gettid);
  seen += i->si_value.sival_int == 77 && i->si_code == SI_TIMER;
}

static void* body(void* a) {
  (void)a;
  tid = (int)syscall(SYS_gettid);
  state = 1;
  while (state != 2) {
    struct timespec t = {0, 2000000};
    nanosleep(&t, NULL);
  }
  return NULL;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  pthread_t t = start_thread(body, NULL);
  wait_change(&state, 0);
  struct sigaction sa = {.sa_sigaction = on, .sa_flags = SA_SIGINFO | SA_RESTART};
  MUST(sigaction(SIGRTMIN + 3, &sa, NULL));
  struct sigevent e;
  memset(&e, 0, sizeof e);
  e.sigev_notify = SIGEV_THREAD_ID;
  e.sigev_signo = SIGRTMIN + 3;
  e.sigev_value.sival_int = 77;
  e._sigev_un._tid = tid;
  timer_t id, id2, id3, id4;
  MUST(timer_create(CLOCK_MONOTONIC, &e, &id));
  struct itimerspec its = {{0, 3000000}, {0, 3000000}};
  MUST(timer_settime(id, 0, &its, NULL));
  // a timer whose signal is blocked and pending
  sigset_t s;
  sigemptyset(&s);
  sigaddset(&s, SIGRTMIN + 4);
  pthread_sigmask(SIG_BLOCK, &s, NULL);
  memset(&e, 0, sizeof e);
  e.sigev_notify = SIGEV_THREAD_ID;
  e.sigev_signo = SIGRTMIN + 4;
  e.sigev_value.sival_int = 78;
  e._sigev_un._tid = (int)syscall(SYS_gettid);
  MUST(timer_create(CLOCK_BOOTTIME, &e, &id2));
  MUST(timer_settime(id2, 0, &its, NULL));
  memset(&e, 0, sizeof e);
  e.sigev_notify = SIGEV_NONE;
  MUST(timer_create(CLOCK_TAI, &e, &id3));
  struct itimerspec lng = {{0, 0}, {5000, 0}};
  MUST(timer_settime(id3, 0, &lng, NULL));
  clockid_t cpu;
  pthread_getcpuclockid(t, &cpu);
  MUST(timer_create(cpu, &e, &id4));
  MUST(timer_settime(id4, 0, &lng, NULL));
  sigset_t pend;
  do sigpending(&pend);
  while (!sigismember(&pend, SIGRTMIN + 4));
  while (seen < 3) sched_yield();
  victim_loose_status = true;

  victim_wait();

  int was = seen;
  int64_t until = clock_ns(CLOCK_MONOTONIC) + 3000000000LL;
  while (seen < was + 5 && clock_ns(CLOCK_MONOTONIC) < until) sched_yield();
  CHECK(seen >= was + 5, "the timer stands still");
  CHECK_EQ(handler_tid, tid, "thread of the signal");
  siginfo_t in;
  struct timespec w = {2, 0};
  for (int i = 0; i < 4; i++) {
    int r = sigtimedwait(&s, &in, &w);
    CHECK_EQ(r, SIGRTMIN + 4, "blocked signal");
    if (r > 0) {
      CHECK_EQ(in.si_value.sival_int, 78, "value");
      CHECK_EQ(in.si_code, SI_TIMER, "code");
      if (i == 0) CHECK(in.si_overrun >= 0, "overrun");
    }
  }
  struct itimerspec now;
  MUST(timer_gettime(id3, &now));
  CHECK(now.it_value.tv_sec > 4900 && now.it_value.tv_sec <= 5000, "TAI: %ld", now.it_value.tv_sec);
  MUST(timer_gettime(id4, &now));
  CHECK(now.it_value.tv_sec > 4900 && now.it_value.tv_sec <= 5000, "CPU: %ld", now.it_value.tv_sec);
  timer_delete(id);
  state = 2;
  pthread_join(t, NULL);
  return victim_end();
}
