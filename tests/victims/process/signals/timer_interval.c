// Interval timers: real (periodic; its signals are neither lost for good nor early), virtual and profiling.
#include "tests/victims/victim.h"

#include <sys/time.h>
static volatile sig_atomic_t ticks, virtual_ticks, profile_ticks;
static volatile int64_t first, latest, shortest = INT64_MAX;
static void on_alarm(int number) {
  (void)number;
  int64_t now = clock_ns(CLOCK_MONOTONIC);
  if (latest != 0 && now - latest < shortest) shortest = now - latest;
  if (first == 0) first = now;
  latest = now;
  ticks++;
}
static void on_virtual(int number) {
  number == SIGVTALRM ? virtual_ticks++ : profile_ticks++;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
  sigaction(SIGALRM, &action, NULL);
  action.sa_handler = on_virtual;
  sigaction(SIGVTALRM, &action, NULL);
  sigaction(SIGPROF, &action, NULL);
  struct itimerval real = {{0, 30000}, {0, 30000}}, virtual = {{0, 40000}, {0, 40000}},
                   profile = {{0, 50000}, {3000, 0}};
  MUST(setitimer(ITIMER_REAL, &real, NULL));
  MUST(setitimer(ITIMER_VIRTUAL, &virtual, NULL));
  MUST(setitimer(ITIMER_PROF, &profile, NULL));
  // The alarms would interrupt the nanosleep of victim_wait, so wait here with them blocked at times.
  victim_say("ready\n");
  while (access(victim_go, F_OK) != 0) usleep(2000);
  int before = ticks;
  struct itimerval now;
  MUST(getitimer(ITIMER_REAL, &now));
  CHECK(now.it_interval.tv_usec == 30000 && now.it_interval.tv_sec == 0, "interval of the real timer");
  MUST(getitimer(ITIMER_PROF, &now));
  CHECK(now.it_interval.tv_usec == 50000, "interval of the profiling timer");
  CHECK(now.it_value.tv_sec > 2900 && now.it_value.tv_sec <= 3000, "profiling timer in %ld s", now.it_value.tv_sec);
  MUST(getitimer(ITIMER_VIRTUAL, &now));
  CHECK(now.it_interval.tv_usec == 40000, "interval of the virtual timer");
  int64_t end = clock_ns(CLOCK_MONOTONIC) + 5000000000LL;
  while ((ticks < before + 5 || virtual_ticks < 2) && clock_ns(CLOCK_MONOTONIC) < end) continue;
  CHECK(ticks >= before + 5, "the real timer has stopped");
  CHECK(virtual_ticks >= 2, "the virtual timer has stopped");
  int64_t most = (latest - first) / 30000000 + 2;
  CHECK(ticks <= most, "%d ticks in %lld ms", ticks, (long long)(latest - first) / 1000000);
  return victim_end();
}
