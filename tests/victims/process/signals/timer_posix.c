// POSIX timers: ids with gaps, clocks, kinds of notification, values, intervals, and a pending expiration with its
// overrun count.
#include "tests/victims/victim.h"
static _Atomic int go, armed;
static struct {
  volatile sig_atomic_t count;
  volatile int value, timer, thread;
} got[5];

static void on_timer(int number, siginfo_t* info, void* context) {
  (void)context;
  int which = number - SIGRTMIN;
  got[which].value = info->si_value.sival_int;
  got[which].timer = info->si_timerid;
  got[which].thread = (int)syscall(SYS_gettid);
  CHECK(info->si_code == SI_TIMER, "si_code %d", info->si_code);
  got[which].count++;
}
static int make(clockid_t clock, int notify, int number, int value, pid_t thread) {
  struct sigevent event;
  memset(&event, 0, sizeof event);
  event.sigev_notify = notify;
  event.sigev_signo = number;
  event.sigev_value.sival_int = value;
  event._sigev_un._tid = thread;
  int id = -1;
  MUST((int)syscall(SYS_timer_create, clock, &event, &id));
  return id;
}
static void set(int id, long first_ms, long every_ms) {
  struct itimerspec when = {{every_ms / 1000, every_ms % 1000 * 1000000}, {first_ms / 1000, first_ms % 1000 * 1000000}};
  MUST((int)syscall(SYS_timer_settime, id, 0, &when, NULL));
}
static pid_t helper;
static void* body(void* unused) {
  helper = (pid_t)syscall(SYS_gettid);
  armed = 1;
  while (!go) usleep(2000);
  return unused;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  struct sigaction action = {.sa_sigaction = on_timer, .sa_flags = SA_SIGINFO | SA_RESTART};
  for (int i = 0; i < 5; i++) sigaction(SIGRTMIN + i, &action, NULL);
  sigset_t hold;
  sigemptyset(&hold);
  sigaddset(&hold, SIGRTMIN + 2);
  pthread_sigmask(SIG_BLOCK, &hold, NULL);
  pthread_t thread = start_thread(body, NULL);
  wait_change(&armed, 0);
  int gap = make(CLOCK_MONOTONIC, SIGEV_NONE, 0, 0, 0);
  int plain = make(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGRTMIN, 1234, 0);
  int gap2 = make(CLOCK_MONOTONIC, SIGEV_NONE, 0, 0, 0);
  int directed = make(CLOCK_BOOTTIME, SIGEV_THREAD_ID, SIGRTMIN + 1, 5678, helper);
  int silent = make(CLOCK_REALTIME, SIGEV_NONE, 0, 0, 0);
  int disarmed = make(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGRTMIN + 3, 9, 0);
  int blocked = make(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGRTMIN + 2, 777, 0);
  MUST((int)syscall(SYS_timer_delete, gap));
  MUST((int)syscall(SYS_timer_delete, gap2));
  set(blocked, 10, 10);
  set(plain, 20, 20);
  set(directed, 30, 30);
  set(silent, 100000, 0);
  victim_say("ready\n");
  while (access(victim_go, F_OK) != 0) usleep(2000);

  struct itimerspec now;
  MUST((int)syscall(SYS_timer_gettime, plain, &now));
  CHECK(now.it_interval.tv_nsec == 20000000 && now.it_value.tv_sec == 0, "the periodic timer's interval");
  MUST((int)syscall(SYS_timer_gettime, silent, &now));
  CHECK(now.it_value.tv_sec > 30 && now.it_value.tv_sec < 100, "the silent timer has %ld s left", now.it_value.tv_sec);
  MUST((int)syscall(SYS_timer_gettime, disarmed, &now));
  CHECK(now.it_value.tv_sec == 0 && now.it_value.tv_nsec == 0, "the disarmed timer is armed");
  CHECK(syscall(SYS_timer_gettime, gap, &now) == -1, "a deleted timer is back");
  int before[2] = {got[0].count, got[1].count};
  int64_t end = clock_ns(CLOCK_MONOTONIC) + 5000000000LL;
  while ((got[0].count < before[0] + 3 || got[1].count < before[1] + 3) && clock_ns(CLOCK_MONOTONIC) < end)
    usleep(1000);
  CHECK(got[0].count >= before[0] + 3 && got[0].value == 1234 && got[0].timer == plain,
        "timer %d: %d signals, value %d", plain, got[0].count, got[0].value);
  CHECK(got[1].count >= before[1] + 3 && got[1].value == 5678 && got[1].timer == directed, "timer %d: %d signals",
        directed, got[1].count);
  CHECK(got[1].thread == helper, "the directed timer's signal came to %d, not %d", got[1].thread, helper);
  set(disarmed, 1, 0);
  end = clock_ns(CLOCK_MONOTONIC) + 5000000000LL;
  while (got[3].count == 0 && clock_ns(CLOCK_MONOTONIC) < end) usleep(1000);
  CHECK(got[3].count == 1 && got[3].value == 9, "a timer armed after the move");
  go = 1;
  pthread_join(thread, NULL);
  set(plain, 0, 0);  // its handler would interrupt what follows
  siginfo_t info;
  struct timespec second = {1, 0};
  for (int i = 0; i < 3; i++) {
    CHECK(sigtimedwait(&hold, &info, &second) == SIGRTMIN + 2, "the blocked timer's signal: %s", strerror(errno));
    CHECK(info.si_code == SI_TIMER && info.si_value.sival_int == 777 && info.si_timerid == blocked,
          "siginfo %d of the blocked timer: code %d value %d timer %d", i, info.si_code, info.si_value.sival_int,
          info.si_timerid);
  }
  return victim_end();
}
