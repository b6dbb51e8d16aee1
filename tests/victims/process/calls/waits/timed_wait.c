// Other waits with a time limit: futex relative and absolute, condition variable, sigtimedwait, semtimedop.
#include "tests/victims/process/calls/timed.h"

#include <linux/futex.h>
#include <sys/ipc.h>
#include <sys/sem.h>

static int word, set;
static struct timespec length = {TIMED_SECONDS, 0};
static long by_futex(void) {
  return syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &length, NULL, 0);
}
static long by_futex_until(void) {
  struct timespec end;
  clock_gettime(CLOCK_MONOTONIC, &end);
  end.tv_sec += TIMED_SECONDS;
  return syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE, 0, &end, NULL, FUTEX_BITSET_MATCH_ANY);
}
static long by_condition(void) {
  pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  pthread_condattr_t attributes;
  pthread_cond_t condition;
  struct timespec end;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(&condition, &attributes);
  clock_gettime(CLOCK_MONOTONIC, &end);
  end.tv_sec += TIMED_SECONDS;
  pthread_mutex_lock(&lock);
  return pthread_cond_timedwait(&condition, &lock, &end);
}
static long by_signal(void) {
  sigset_t mask;
  sigemptyset(&mask);
  sigaddset(&mask, SIGUSR1);
  return sigtimedwait(&mask, NULL, &length);
}
static long by_semaphore(void) {
  struct sembuf down = {0, -1, 0};
  return semtimedop(set, &down, 1, &length);
}

int main(int argc, char** argv) {
  static struct timed all[] = {{.name = "futex", .call = by_futex, .want = -1, .want_errno = ETIMEDOUT},
                               {.name = "futex-absolute", .call = by_futex_until, .want = -1, .want_errno = ETIMEDOUT},
                               {.name = "condition", .call = by_condition, .want = ETIMEDOUT},
                               {.name = "sigtimedwait", .call = by_signal, .want = -1, .want_errno = EAGAIN},
                               {.name = "semtimedop", .call = by_semaphore, .want = -1, .want_errno = EAGAIN}};
  sigset_t mask;
  sigemptyset(&mask);
  sigaddset(&mask, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &mask, NULL);
  set = MUST(semget(IPC_PRIVATE, 1, 0600));
  int code = timed_main(argc, argv, all, sizeof all / sizeof *all);
  MUST(semctl(set, 0, IPC_RMID));
  return code;
}
