// A victim whose second thread is in one blocking system call during every move. The call must not return until the
// event it waits for, which happens after the last move; then its result must be the same as without a move.
#pragma once
#include "tests/victims/victim.h"

struct blocked {
  void (*set_up)(void);
  long (*call)(void);
  void (*wake)(void);
  long want;       // the final result of the call
  int want_errno;  // the expected errno if `want` is -1
};

static struct {
  const struct blocked* what;
  _Atomic int tid, done;
  long result;
  int error;
} blocked_state;

static void* blocked_body(void* unused) {
  blocked_state.tid = (int)syscall(SYS_gettid);
  errno = 0;
  blocked_state.result = blocked_state.what->call();
  blocked_state.error = errno;
  blocked_state.done = 1;
  return unused;
}

// Waits until thread `tid` sleeps in a system call.
static void wait_asleep(_Atomic int* tid) {
  wait_change(tid, 0);
  for (;;) {
    char path[64], text[256];
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", *tid);
    read_file(path, text, sizeof text);
    char* end = strrchr(text, ')');
    if (end && end[2] == 'S') return;
    sched_yield();
  }
}

static int blocked_main(int argc, char** argv, const struct blocked* what) {
  victim_start(argc, argv);
  blocked_state.what = what;
  if (what->set_up) what->set_up();
  pthread_t thread = start_thread(blocked_body, NULL);
  wait_asleep(&blocked_state.tid);
  victim_wait();
  struct timespec settle = {0, 20000000};
  nanosleep(&settle, NULL);
  if (blocked_state.done) {
    victim_fail("the call returned %ld (%s) before its event", blocked_state.result, strerror(blocked_state.error));
    return victim_end();
  }
  what->wake();
  pthread_join(thread, NULL);
  CHECK_EQ(blocked_state.result, what->want, "result of the call");
  if (what->want == -1) CHECK_EQ(blocked_state.error, what->want_errno, "errno of the call");
  return victim_end();
}
