// Sixty threads, each with its own name, thread-local state and work in progress.
#include "tests/victims/victim.h"

enum { kThreads = 60 };
static _Atomic int stop;
static __thread uint64_t mine;
static struct worker {
  pthread_t thread;
  pid_t tid;
  uint64_t turns, sum;
  int bad;
} workers[kThreads];

static void* work(void* argument) {
  struct worker* self = argument;
  char name[16], now[16];
  self->tid = (pid_t)syscall(SYS_gettid);
  snprintf(name, sizeof name, "w)%d(", (int)(self - workers));
  prctl(PR_SET_NAME, name);
  mine = (uint64_t)(self - workers) * 1000000;
  while (!atomic_load(&stop)) {
    for (int i = 0; i < 500; i++) self->sum += pattern((uint64_t)self->tid, self->turns++), mine++;
    struct timespec step = {0, 3000000};
    if (nanosleep(&step, NULL) != 0) self->bad |= 1;
  }
  prctl(PR_GET_NAME, now);
  if (strcmp(now, name) != 0) self->bad |= 2;
  if (syscall(SYS_gettid) != self->tid) self->bad |= 4;
  if (mine != (uint64_t)(self - workers) * 1000000 + self->turns) self->bad |= 8;
  return self;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  for (int i = 0; i < kThreads; i++) workers[i].thread = start_thread(work, &workers[i]);
  victim_wait();
  stop = 1;
  for (int i = 0; i < kThreads; i++) {
    void* result;
    CHECK(pthread_join(workers[i].thread, &result) == 0 && result == &workers[i], "thread %d: join", i);
    uint64_t sum = 0;
    for (uint64_t turn = 0; turn < workers[i].turns; turn++) sum += pattern((uint64_t)workers[i].tid, turn);
    CHECK(sum == workers[i].sum, "thread %d: its sum is wrong", i);
    CHECK(workers[i].bad == 0, "thread %d: sleep/name/tid/TLS: %d", i, workers[i].bad);
  }
  return victim_end();
}
