// epoll with a target whose number was closed while a duplicate keeps it registered, and one whose number was
// reused.
#include "tests/victims/victim.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

int main(int argc, char** argv) {
  victim_start(argc, argv);
  int epoll = MUST(epoll_create1(0)), first = MUST(eventfd(0, 0));
  int kept = MUST(fcntl(first, F_DUPFD, 100));
  struct epoll_event event = {.events = EPOLLIN, .data.u64 = 1};
  MUST(epoll_ctl(epoll, EPOLL_CTL_ADD, first, &event));
  close(first);
  int again = MUST(eventfd(0, 0));
  CHECK_EQ(again, first, "reused number");
  event.data.u64 = 2;
  MUST(epoll_ctl(epoll, EPOLL_CTL_ADD, again, &event));
  victim_wait();
  uint64_t one = 1;
  MUST(write(kept, &one, 8));
  CHECK(epoll_wait(epoll, &event, 1, 0) == 1 && event.data.u64 == 1, "the registration under a closed number");
  MUST(read(kept, &one, 8));
  MUST(write(again, &one, 8));
  CHECK(epoll_wait(epoll, &event, 1, 0) == 1 && event.data.u64 == 2, "the registration under the reused number");
  return victim_end();
}
