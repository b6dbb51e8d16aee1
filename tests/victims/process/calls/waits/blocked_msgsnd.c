// msgsnd (System V) to a full queue.
#include "tests/victims/process/calls/blocked.h"

#include <sys/ipc.h>
#include <sys/msg.h>
static int queue;
static struct message {
  long type;
  char text[4096];
} message = {1, ""};
static void set_up(void) {
  queue = MUST(msgget(IPC_PRIVATE, 0600));
  while (msgsnd(queue, &message, 4096, IPC_NOWAIT) == 0) continue;
}
static long call(void) {
  return msgsnd(queue, &message, 4096, 0);
}
static void wake(void) {
  struct message got;
  MUST(msgrcv(queue, &got, 4096, 0, 0));
  while (!blocked_state.done) sched_yield();
  MUST(msgctl(queue, IPC_RMID, NULL));
}

int main(int argc, char** argv) {
  return blocked_main(argc, argv, &(struct blocked){.set_up = set_up, .call = call, .wake = wake, .want = 0});
}
