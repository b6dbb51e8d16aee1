// mq_receive from an empty queue, which gets a message after the moves.
#include "tests/victims/process/calls/blocked.h"

#include <mqueue.h>

static mqd_t queue;
static void set_up(void) {
  struct mq_attr limits = {.mq_maxmsg = 2, .mq_msgsize = 16};
  queue = MUST(mq_open("/crx-blocked", O_RDWR | O_CREAT | O_EXCL, 0600, &limits));
  MUST(mq_unlink("/crx-blocked"));
}
static long call(void) {
  char text[16];
  return mq_receive(queue, text, sizeof text, NULL);
}
static void wake(void) {
  MUST(mq_send(queue, "message", 7, 1));
}

int main(int argc, char** argv) {
  return blocked_main(argc, argv, &(struct blocked){.set_up = set_up, .call = call, .wake = wake, .want = 7});
}
