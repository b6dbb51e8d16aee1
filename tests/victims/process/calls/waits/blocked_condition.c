// pthread_cond_wait, woken by the other thread.
#include "tests/victims/process/calls/blocked.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static int opened;
static void set_up(void) {}
static long call(void) {
  pthread_mutex_lock(&lock);
  while (!opened) pthread_cond_wait(&condition, &lock);
  pthread_mutex_unlock(&lock);
  return opened;
}
static void wake(void) {
  pthread_mutex_lock(&lock);
  opened = 7;
  pthread_cond_signal(&condition);
  pthread_mutex_unlock(&lock);
}

int main(int argc, char** argv) {
  return blocked_main(argc, argv, &(struct blocked){.set_up = set_up, .call = call, .wake = wake, .want = 7});
}
