// Sleeps: nanosleep, clock_nanosleep relative and absolute, on several clocks.
#include "tests/victims/process/calls/timed.h"

static struct timespec length = {TIMED_SECONDS, 0};
static long by_nanosleep(void) {
  return nanosleep(&length, NULL);
}
static long relative(void) {
  return clock_nanosleep(CLOCK_MONOTONIC, 0, &length, NULL);
}
static long relative_boot(void) {
  return clock_nanosleep(CLOCK_BOOTTIME, 0, &length, NULL);
}
static long relative_real(void) {
  return clock_nanosleep(CLOCK_REALTIME, 0, &length, NULL);
}
static long until_clock(clockid_t clock) {
  struct timespec end;
  clock_gettime(clock, &end);
  end.tv_sec += TIMED_SECONDS;
  return clock_nanosleep(clock, TIMER_ABSTIME, &end, NULL);
}
static long absolute(void) {
  return until_clock(CLOCK_MONOTONIC);
}
static long absolute_boot(void) {
  return until_clock(CLOCK_BOOTTIME);
}
static long absolute_real(void) {
  return until_clock(CLOCK_REALTIME);
}

int main(int argc, char** argv) {
  static struct timed all[] = {
      {.name = "nanosleep", .call = by_nanosleep},
      {.name = "clock_nanosleep-monotonic", .call = relative},
      {.name = "clock_nanosleep-boottime", .call = relative_boot},
      {.name = "clock_nanosleep-realtime", .call = relative_real},
      {.name = "clock_nanosleep-monotonic-absolute", .call = absolute},
      {.name = "clock_nanosleep-boottime-absolute", .call = absolute_boot},
      {.name = "clock_nanosleep-realtime-absolute", .call = absolute_real, .on_realtime = true}};
  return timed_main(argc, argv, all, sizeof all / sizeof *all);
}
