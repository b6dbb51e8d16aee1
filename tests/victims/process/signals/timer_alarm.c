// A one-shot alarm in three seconds: it comes once, and not early.
#include "tests/victims/victim.h"

#include <sys/time.h>
static volatile sig_atomic_t ticks;
static volatile int64_t at;
static void on_alarm(int number) {
  (void)number;
  at = clock_ns(CLOCK_MONOTONIC);
  ticks++;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
  sigaction(SIGALRM, &action, NULL);
  struct itimerval three = {{0, 0}, {3, 0}};
  int64_t start = clock_ns(CLOCK_MONOTONIC);
  MUST(setitimer(ITIMER_REAL, &three, NULL));
  victim_say("ready\n");
  while (access(victim_go, F_OK) != 0) usleep(2000);
  while (ticks == 0 && clock_ns(CLOCK_MONOTONIC) < start + 30000000000LL) usleep(2000);
  CHECK_EQ(ticks, 1, "alarms");
  CHECK(at - start >= 3000000000LL, "the alarm came after %lld ms", (long long)(at - start) / 1000000);
  char text[100];
  snprintf(text, sizeof text, "TIMING alarm 3000000 %lld\n", (long long)(at - start) / 1000);
  victim_say(text);
  return victim_end();
}
