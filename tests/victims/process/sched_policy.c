// Scheduling policy, priority, nice value and reset-on-fork of several threads.
#include "tests/victims/victim.h"
struct attributes {
  uint32_t size, policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime, deadline, period;
  uint32_t util_min, util_max;
};
static _Atomic int go, ready;
static const struct attributes wanted[] = {
    {.policy = SCHED_OTHER, .nice = 7},     {.policy = SCHED_OTHER, .nice = -5},
    {.policy = SCHED_BATCH, .nice = 3},     {.policy = SCHED_IDLE},
    {.policy = SCHED_FIFO, .priority = 10}, {.policy = SCHED_RR, .priority = 20, .flags = 1}};
enum { kCount = sizeof wanted / sizeof *wanted };

static void* body(void* argument) {
  struct attributes set = *(const struct attributes*)argument, before = {0}, after = {0};
  set.size = 48;
  MUST((int)syscall(SYS_sched_setattr, 0, &set, 0));
  MUST((int)syscall(SYS_sched_getattr, 0, &before, sizeof before, 0));
  ready++;
  wait_change(&go, 0);
  MUST((int)syscall(SYS_sched_getattr, 0, &after, sizeof after, 0));
  CHECK(before.policy == after.policy && before.nice == after.nice && before.priority == after.priority &&
            before.flags == after.flags,
        "policy %u nice %d priority %u flags %llx, not %u %d %u %llx", after.policy, after.nice, after.priority,
        (unsigned long long)after.flags, before.policy, before.nice, before.priority, (unsigned long long)before.flags);
  return NULL;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  pthread_t threads[kCount];
  setpriority(PRIO_PROCESS, 0, 2);
  for (int i = 0; i < kCount; i++) threads[i] = start_thread(body, (void*)&wanted[i]);
  while (ready != kCount) usleep(1000);
  victim_wait();
  CHECK_EQ(getpriority(PRIO_PROCESS, 0), 2, "nice of main");
  go = 1;
  for (int i = 0; i < kCount; i++) pthread_join(threads[i], NULL);
  return victim_end();
}
