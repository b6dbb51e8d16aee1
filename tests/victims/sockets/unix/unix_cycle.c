// Descriptors in flight that refer to each other: both ends of a pair in its own queues, sockets in sockets in sockets,
// an epoll set that is open nowhere else.
#include "tests/victims/sockets/unix/unix.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

static bool same(int one, int other) {
  return syscall(SYS_kcmp, getpid(), getpid(), 0, one, other) == 0;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  int ring[2], outer[2], middle[2], inner[2];
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, ring));
  MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, outer));
  MUST(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, middle));
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, inner));
  send_rights(ring[0], "self", &ring[1], 1);
  send_rights(ring[1], "other", &ring[0], 1);
  int counter = MUST(eventfd(7, 0));
  send_rights(inner[0], "counter", &counter, 1);
  send_rights(middle[0], "inner", inner, 2);
  send_rights(outer[0], "middle", middle, 2);
  int set = MUST(epoll_create1(0));
  struct epoll_event event = {EPOLLIN, {.u64 = 5}};
  MUST(epoll_ctl(set, EPOLL_CTL_ADD, outer[1], &event));
  send_rights(ring[0], "set", &set, 1);
  int sent[] = {counter, inner[0], inner[1], middle[0], middle[1], set};
  for (int i = 0; i < 6; i++) close(sent[i]);

  victim_wait();

  char text[20];
  int passed[16];
  CHECK_EQ(receive_rights(outer[1], text, sizeof text, passed, NULL), 2, "the middle pair");
  memcpy(middle, passed, sizeof middle);
  CHECK_EQ(receive_rights(middle[1], text, sizeof text, passed, NULL), 2, "the inner pair");
  memcpy(inner, passed, sizeof inner);
  CHECK_EQ(receive_rights(inner[1], text, sizeof text, passed, NULL), 1, "the eventfd");
  uint64_t count = 0;
  CHECK(read(passed[0], &count, 8) == 8 && count == 7, "the eventfd has %llu", (unsigned long long)count);
  check_talk(inner[0], inner[1], "the inner pair");
  check_talk(middle[0], middle[1], "the middle pair");
  CHECK_EQ(receive_rights(ring[1], text, sizeof text, passed, NULL), 1, "an end in its own queue");
  CHECK(strcmp(text, "self") == 0 && same(passed[0], ring[1]), "an end in its own queue is another one");
  CHECK_EQ(receive_rights(ring[0], text, sizeof text, passed, NULL), 1, "the other end");
  CHECK(same(passed[0], ring[0]), "the other end in its own queue is another one");
  CHECK_EQ(receive_rights(ring[1], text, sizeof text, passed, NULL), 1, "the epoll set");
  CHECK_EQ(epoll_wait(passed[0], &event, 1, 0), 0, "events before there is anything");
  MUST(send(outer[0], "x", 1, 0));
  CHECK_EQ(epoll_wait(passed[0], &event, 1, 0), 1, "events");
  CHECK_EQ(event.data.u64, 5, "the data of the event");
  return victim_end();
}
