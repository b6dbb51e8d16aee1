// POSIX message queues: messages by priority and age, limits, flags of each description, a queue without a name.
#include "tests/victims/victim.h"

#include <mqueue.h>

static void check_message(mqd_t queue, const char* want, unsigned want_priority) {
  char text[64] = "";
  unsigned priority = 0;
  ssize_t got = mq_receive(queue, text, sizeof text, &priority);
  CHECK(got == (ssize_t)strlen(want) && memcmp(text, want, strlen(want)) == 0 && priority == want_priority,
        "got %zd bytes \"%s\" of priority %u, not \"%s\" of %u", got, text, priority, want, want_priority);
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  struct mq_attr limits = {.mq_maxmsg = 7, .mq_msgsize = 64};
  mqd_t queue = MUST(mq_open("/crx-victim", O_RDWR | O_CREAT | O_EXCL | O_NONBLOCK, 0620, &limits));
  MUST(fchmod(queue, 0620));
  mqd_t reader = MUST(mq_open("/crx-victim", O_RDONLY));
  int copy = MUST(dup(queue));
  MUST(mq_send(queue, "low", 3, 1));
  MUST(mq_send(queue, "first", 5, 9));
  MUST(mq_send(queue, "", 0, 32767));
  MUST(mq_send(queue, "second", 6, 9));
  mqd_t gone = MUST(mq_open("/crx-victim-gone", O_RDWR | O_CREAT | O_EXCL, 0600, &limits));
  MUST(mq_send(gone, "gone", 4, 0));
  MUST(mq_unlink("/crx-victim-gone"));

  victim_wait();

  struct mq_attr now;
  MUST(mq_getattr(queue, &now));
  CHECK_EQ(now.mq_curmsgs, 4, "messages");
  CHECK_EQ(now.mq_maxmsg, 7, "room");
  CHECK_EQ(now.mq_msgsize, 64, "size");
  CHECK_EQ(now.mq_flags, O_NONBLOCK, "flags");
  MUST(mq_getattr(reader, &now));
  CHECK_EQ(now.mq_flags, 0, "flags of the reader");
  struct stat about;
  MUST(fstat(queue, &about));
  CHECK_EQ(about.st_mode & 07777, 0620, "mode");
  check_message(reader, "", 32767);
  check_message(reader, "first", 9);
  check_message(copy, "second", 9);
  check_message(reader, "low", 1);
  CHECK(mq_receive(queue, (char[64]){0}, 64, NULL) == -1 && errno == EAGAIN, "the queue has more");
  CHECK(mq_send(reader, "x", 1, 0) == -1 && errno == EBADF, "the reader can send");
  mqd_t again = mq_open("/crx-victim", O_WRONLY);
  CHECK(again >= 0, "its name leads nowhere: %s", strerror(errno));
  if (again >= 0) {
    MUST(mq_send(again, "by name", 7, 2));
    check_message(reader, "by name", 2);
  }
  check_message(gone, "gone", 0);
  CHECK(mq_open("/crx-victim-gone", O_RDWR) == -1, "the removed name is back");
  MUST(mq_unlink("/crx-victim"));
  return victim_end();
}
