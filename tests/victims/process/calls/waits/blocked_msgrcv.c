// msgrcv (System V).
#include "tests/victims/process/calls/blocked.h"

#include <sys/ipc.h>
#include <sys/msg.h>
static int queue;
struct message {
  long type;
  char text[8];
};
static void set_up(void) {
  queue = MUST(msgget(IPC_PRIVATE, 0600));
}
static long call(void) {
  struct message got;
  return msgrcv(queue, &got, 8, 3, 0);
}
static void wake(void) {
  struct message sent = {3, "message"};
  MUST(msgsnd(queue, &sent, 8, 0));
  while (!blocked_state.done) sched_yield();
  MUST(msgctl(queue, IPC_RMID, NULL));
}

int main(int argc, char** argv) {
  return blocked_main(argc, argv, &(struct blocked){.set_up = set_up, .call = call, .wake = wake, .want = 8});
}
