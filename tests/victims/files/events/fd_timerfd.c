// timerfd: periodic, one-shot relative and absolute, expired and unread, disarmed; on three clocks.
#include "tests/victims/victim.h"

#include <sys/timerfd.h>

static int make(clockid_t clock, int flags, int64_t first_ns, int64_t every_ns) {
  int fd = MUST(timerfd_create(clock, TFD_NONBLOCK));
  struct itimerspec when = {{every_ns / 1000000000, every_ns % 1000000000},
                            {first_ns / 1000000000, first_ns % 1000000000}};
  MUST(timerfd_settime(fd, flags, &when, NULL));
  return fd;
}
static uint64_t ticks(int fd) {
  uint64_t value = 0;
  return read(fd, &value, 8) == 8 ? value : 0;
}

// Returns the flags that the timer was armed with, from fdinfo.
static int armed_with(int fd) {
  char path[64], text[1024];
  snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
  read_file(path, text, sizeof text);
  const char* at = strstr(text, "settime flags: ");
  return at ? (int)strtol(at + strlen("settime flags: "), NULL, 8) : -1;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  const int64_t ms = 1000000, s = 1000 * ms;
  int64_t start = clock_ns(CLOCK_MONOTONIC);
  int periodic = make(CLOCK_MONOTONIC, 0, 20 * ms, 20 * ms);
  int boot = make(CLOCK_BOOTTIME, 0, 30 * ms, 30 * ms);
  int absolute = make(CLOCK_MONOTONIC, TFD_TIMER_ABSTIME, start + 4 * s, 0);
  int relative = make(CLOCK_BOOTTIME, 0, 4 * s, 0);
  int real = make(CLOCK_REALTIME, TFD_TIMER_ABSTIME, clock_ns(CLOCK_REALTIME) + 4 * s, 0);
  int cancel = make(CLOCK_REALTIME, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, clock_ns(CLOCK_REALTIME) + 900 * s, 0);
  int far = make(CLOCK_MONOTONIC, 0, 1000 * s, 5 * s);
  int expired = make(CLOCK_MONOTONIC, 0, 1, 0);
  int fired = make(CLOCK_MONOTONIC, TFD_TIMER_ABSTIME, start + 1, 0);
  int disarmed = MUST(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
  while (clock_ns(CLOCK_MONOTONIC) < start + 5 * ms) sched_yield();

  victim_wait();

  CHECK_EQ(ticks(expired), 1, "ticks of the timer that had expired");
  while (clock_ns(CLOCK_MONOTONIC) < start + 60 * ms) sched_yield();
  uint64_t most = (uint64_t)(clock_ns(CLOCK_MONOTONIC) - start) / (20 * 1000000) + 1, got = ticks(periodic);
  CHECK(got > 0 && got <= most && got + 2 >= most, "periodic timer: %llu ticks, at most %llu", (unsigned long long)got,
        (unsigned long long)most);
  CHECK(ticks(boot) > 0, "periodic timer of boot time: no ticks");
  struct itimerspec now;
  MUST(timerfd_gettime(periodic, &now));
  CHECK(now.it_interval.tv_nsec == 20 * ms && now.it_interval.tv_sec == 0, "interval");
  MUST(timerfd_gettime(far, &now));
  CHECK(now.it_interval.tv_sec == 5 && now.it_value.tv_sec < 1000 && now.it_value.tv_sec > 900, "the far timer: %ld s",
        now.it_value.tv_sec);
  MUST(timerfd_gettime(disarmed, &now));
  CHECK(now.it_value.tv_sec == 0 && now.it_value.tv_nsec == 0, "the disarmed timer is armed");
  MUST(timerfd_gettime(cancel, &now));
  CHECK(now.it_value.tv_sec > 800 && now.it_value.tv_sec < 900, "the real-time timer: %ld s", now.it_value.tv_sec);
  CHECK_EQ(armed_with(far), 0, "the flags of a relative timer");
  CHECK_EQ(armed_with(absolute), TFD_TIMER_ABSTIME, "the flags of an absolute one");
  CHECK_EQ(armed_with(fired), TFD_TIMER_ABSTIME, "the flags of an absolute one that has fired");
  CHECK_EQ(armed_with(cancel), TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, "the flags of one that is called off");
  int shots[] = {absolute, relative, real};
  for (int i = 0; i < 3; i++) {
    fcntl(shots[i], F_SETFL, 0);
    CHECK_EQ(ticks(shots[i]), 1, "ticks of a one-shot timer");
    int64_t took = clock_ns(CLOCK_MONOTONIC) - start;
    CHECK(took >= 4 * s, "one-shot timer %d came after %lld ms", i, (long long)(took / ms));
  }
  return victim_end();
}
