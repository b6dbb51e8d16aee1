// Mutexes with priority inheritance, robust and process-shared, with waiters; a condition with such a mutex;
// an owner that dies.
#include "tests/victims/process/tree/tree.h"

struct sh {
  pthread_mutex_t pi, robust;
  pthread_cond_t c;
  _Atomic int got, go, held;
};
static struct sh* s;
static void* waiter(void* a) {
  (void)a;
  int r = pthread_mutex_lock(&s->pi);
  CHECK_EQ(r, 0, "lock");
  s->got++;
  pthread_mutex_unlock(&s->pi);
  return 0;
}

static void* cond(void* a) {
  (void)a;
  pthread_mutex_lock(&s->pi);
  s->held++;
  while (!s->go) {
    int r = pthread_cond_wait(&s->c, &s->pi);
    if (r) victim_fail("cond_wait %d", r);
  }
  s->got++;
  pthread_mutex_unlock(&s->pi);
  return 0;
}

static int child(void* a) {
  (void)a;
  int r = pthread_mutex_lock(&s->pi);
  CHECK_EQ(r, 0, "child's lock");
  s->got++;
  pthread_mutex_unlock(&s->pi);
  return child_failures();
}

static int dies(void* a) {
  (void)a;
  pthread_mutex_lock(&s->robust);
  s->held += 10;
  child_wait();
  return 0;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  s = mmap(NULL, PAGE, 3, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pthread_mutexattr_t a;
  pthread_mutexattr_init(&a);
  pthread_mutexattr_setprotocol(&a, PTHREAD_PRIO_INHERIT);
  pthread_mutexattr_setpshared(&a, 1);
  pthread_mutex_init(&s->pi, &a);
  pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(&s->robust, &a);
  pthread_condattr_t ca;
  pthread_condattr_init(&ca);
  pthread_condattr_setpshared(&ca, 1);
  pthread_cond_init(&s->c, &ca);
  pthread_t t[4];
  t[2] = start_thread(cond, 0);
  t[3] = start_thread(cond, 0);
  while (s->held != 2) sched_yield();
  pthread_mutex_lock(&s->pi);
  t[0] = start_thread(waiter, 0);
  t[1] = start_thread(waiter, 0);
  pid_t c = spawn(child, 0), d = spawn(dies, 0);
  while (s->held != 12) sched_yield();
  while ((*(volatile unsigned*)&s->pi.__data.__lock >> 31) == 0) sched_yield();  // FUTEX_WAITERS

  victim_wait();

  CHECK_EQ(s->got, 0, "nobody has it");
  s->go = 1;
  pthread_cond_broadcast(&s->c);
  pthread_mutex_unlock(&s->pi);
  for (int i = 0; i < 4; i++) pthread_join(t[i], 0);
  expect_exit(c, 0, "child");
  expect_exit(d, 0, "dies");
  CHECK_EQ(s->got, 5, "all had it");
  CHECK_EQ(pthread_mutex_lock(&s->robust), EOWNERDEAD, "robust");
  return victim_end();
}
