// Victims whose threads are in system calls with a time limit (three seconds) during the moves: no call may end early.
// Each prints how long it took ("TIMING name wanted-us taken-us"); the test, which knows the downtimes, checks the
// upper bound.
#pragma once
#include "tests/victims/victim.h"

#define TIMED_SECONDS 3
struct timed {
  const char* name;
  long (*call)(void);
  long want;
  int want_errno;
  bool on_realtime;  // it is measured by CLOCK_REALTIME; otherwise by CLOCK_MONOTONIC
  int64_t took_us;
  long result;
  int error;
  pthread_t thread;
};

static void* timed_body(void* argument) {
  struct timed* mine = argument;
  clockid_t clock = mine->on_realtime ? CLOCK_REALTIME : CLOCK_MONOTONIC;
  int64_t start = clock_ns(clock);
  errno = 0;
  mine->result = mine->call();
  mine->error = errno;
  mine->took_us = (clock_ns(clock) - start) / 1000;
  return NULL;
}

static int timed_main(int argc, char** argv, struct timed* all, size_t count) {
  victim_start(argc, argv);
  victim_loose_status = true;  // threads end while it waits
  victim_loose_maps = true;
  for (size_t i = 0; i < count; i++) all[i].thread = start_thread(timed_body, &all[i]);
  victim_wait();
  for (size_t i = 0; i < count; i++) {
    char text[200];
    pthread_join(all[i].thread, NULL);
    snprintf(text, sizeof text, "TIMING %s %d %lld\n", all[i].name, TIMED_SECONDS * 1000000, (long long)all[i].took_us);
    victim_say(text);
    CHECK(all[i].result == all[i].want, "%s returned %ld (%s), not %ld", all[i].name, all[i].result,
          strerror(all[i].error), all[i].want);
    if (all[i].want == -1) CHECK(all[i].error == all[i].want_errno, "%s: %s", all[i].name, strerror(all[i].error));
    CHECK(all[i].took_us >= TIMED_SECONDS * 1000000, "%s ended after %lld us", all[i].name, (long long)all[i].took_us);
  }
  return victim_end();
}
