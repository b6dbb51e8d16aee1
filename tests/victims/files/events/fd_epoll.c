// epoll: registered events and data, one-shot (armed and spent), edge-triggered, nested, duplicates of a
// target.
#include "tests/victims/victim.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

static void add(int epoll, int fd, uint32_t events, uint64_t data) {
  struct epoll_event event = {.events = events, .data.u64 = data};
  MUST(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
}
static int ready(int epoll, uint64_t* data) {
  struct epoll_event event = {0};
  int count = epoll_wait(epoll, &event, 1, 0);
  *data = event.data.u64;
  return count;
}
static void poke(int fd) {
  uint64_t one = 1;
  MUST(write(fd, &one, 8));
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  int plain = MUST(epoll_create1(EPOLL_CLOEXEC)), spent = MUST(epoll_create1(0)), armed = MUST(epoll_create1(0));
  int edge = MUST(epoll_create1(0)), outer = MUST(epoll_create1(0)), pipes = MUST(epoll_create1(0));
  int a = MUST(eventfd(0, 0)), b = MUST(eventfd(0, 0)), c = MUST(eventfd(0, 0)), d = MUST(eventfd(0, 0));
  int e = MUST(eventfd(1, 0)), ends[2];
  uint64_t data, big = 0xfedcba9876543210;
  add(plain, a, EPOLLIN, big);
  add(plain, e, EPOLLOUT | EPOLLRDHUP, 5);
  add(spent, b, EPOLLIN | EPOLLONESHOT, 2);
  poke(b);
  CHECK(ready(spent, &data) == 1 && data == 2, "one-shot to begin with");
  add(armed, c, EPOLLIN | EPOLLONESHOT, 3);
  add(edge, d, EPOLLIN | EPOLLET, 4);
  add(outer, plain, EPOLLIN, 6);
  int high = MUST(fcntl(a, F_DUPFD, 300));
  add(plain, high, EPOLLIN, 7);
  MUST(pipe(ends));
  add(pipes, ends[0], EPOLLIN, 8);
  add(pipes, ends[1], EPOLLOUT, 9);
  struct epoll_event change = {.events = EPOLLIN, .data.u64 = 10};
  MUST(epoll_ctl(pipes, EPOLL_CTL_MOD, ends[0], &change));

  // A spent watch, though its file is ready, beside others that are ready, too.
  int beside = MUST(epoll_create1(0));
  add(beside, e, EPOLLIN, 12);
  add(beside, b, EPOLLIN | EPOLLONESHOT, 13);
  struct epoll_event both[2];
  MUST(epoll_wait(beside, both, 2, 0) == 2 ? 0 : -1);

  victim_wait();

  CHECK(epoll_wait(beside, both, 2, 0) == 1 && both[0].data.u64 == 12, "a spent one-shot beside another: %llu",
        (unsigned long long)both[0].data.u64);

  CHECK(ready(plain, &data) == 1 && data == 5, "an event that was ready: data %llu", (unsigned long long)data);
  change.events = 0;
  MUST(epoll_ctl(plain, EPOLL_CTL_MOD, e, &change));
  CHECK_EQ(ready(plain, &data), 0, "events of an idle eventfd");
  CHECK_EQ(ready(outer, &data), 0, "events of the outer epoll");
  poke(a);
  CHECK(ready(outer, &data) == 1 && data == 6, "nested: data %llu", (unsigned long long)data);
  uint64_t first = 0, second = 0;
  CHECK(ready(plain, &first) == 1 && ready(plain, &second) == 1, "events of a file registered twice");
  CHECK((first == big && second == 7) || (first == 7 && second == big), "data of a file registered twice: %llx %llx",
        (unsigned long long)first, (unsigned long long)second);
  poke(b);
  CHECK_EQ(ready(spent, &data), 0, "events of a spent one-shot");
  change.events = EPOLLIN | EPOLLONESHOT;
  change.data.u64 = 11;
  CHECK(epoll_ctl(spent, EPOLL_CTL_MOD, b, &change) == 0, "re-arm: %s", strerror(errno));
  CHECK(ready(spent, &data) == 1 && data == 11, "the re-armed one-shot");
  CHECK_EQ(ready(armed, &data), 0, "events of the armed one-shot");
  poke(c);
  CHECK(ready(armed, &data) == 1 && data == 3, "the armed one-shot: data %llu", (unsigned long long)data);
  CHECK_EQ(ready(armed, &data), 0, "a second event of the one-shot");
  poke(d);
  CHECK(ready(edge, &data) == 1 && data == 4, "edge-triggered: data %llu", (unsigned long long)data);
  CHECK_EQ(ready(edge, &data), 0, "a second edge");
  CHECK(ready(pipes, &data) == 1 && data == 9, "pipe: data %llu", (unsigned long long)data);
  MUST(epoll_ctl(pipes, EPOLL_CTL_DEL, ends[1], NULL));
  MUST(write(ends[1], "x", 1));
  CHECK(ready(pipes, &data) == 1 && data == 10, "pipe with content: data %llu", (unsigned long long)data);
  return victim_end();
}
