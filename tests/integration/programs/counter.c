// counter OUTPUT STOP-FILE GHOST-DIR GHOST-KIB [LIBRARY]: appends the next number to OUTPUT every 5 ms, until the stop
// file exists. The output would show if two of it ran. It also has resources that a move must carry: a thread in
// epoll_wait, a pipe with content, a lock, a timer, a deleted file of GHOST-KIB KiB in GHOST-DIR, and, if named, a
// library.
#include "../../victims/victim.h"

#include <dlfcn.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>

static void* waiter(void* unused) {
  int epoll = MUST(epoll_create1(0)), timer = MUST(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
  struct epoll_event event = {.events = EPOLLIN};
  struct itimerspec far = {{0, 0}, {100000, 0}};
  MUST(timerfd_settime(timer, 0, &far, NULL));
  MUST(epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &event));
  int got = epoll_wait(epoll, &event, 1, -1);
  victim_fail("epoll_wait returned %d: %s", got, strerror(errno));
  return unused;
}

int main(int argc, char** argv) {
  if (argc < 5) return 2;
  int output = MUST(open(argv[1], O_WRONLY | O_CREAT | O_APPEND, 0644)), ends[2];
  char path[4096], block[1024];
  snprintf(path, sizeof path, "%s/ghost.%d", argv[3], getpid());
  int ghost = MUST(open(path, O_RDWR | O_CREAT | O_TRUNC, 0600));
  fill(block, sizeof block, 1);
  for (int i = 0; i < atoi(argv[4]); i++) MUST(write(ghost, block, sizeof block));
  MUST(unlink(path));
  MUST(pipe(ends));
  MUST(write(ends[1], "content", 7));
  void* library = argc > 5 ? dlopen(argv[5], RTLD_NOW) : NULL;
  if (argc > 5 && library == NULL) {
    victim_say(dlerror());
    return 2;
  }
  char* memory = map_anon(4 << 20);
  fill(memory, 4 << 20, 2);
  start_thread(waiter, NULL);
  for (long number = 0; access(argv[2], F_OK) != 0; number++) {
    dprintf(output, "%ld\n", number);
    struct timespec step = {0, 5000000};
    if (nanosleep(&step, NULL) != 0) victim_fail("nanosleep: %s", strerror(errno));
  }
  check_fill(memory, 4 << 20, 2, "memory");
  char text[8] = "";
  CHECK(read(ends[0], text, 8) == 7 && strcmp(text, "content") == 0, "pipe: %s", text);
  CHECK_EQ(lseek(ghost, 0, SEEK_END), atoi(argv[4]) * 1024, "size of the deleted file");
  CHECK(argc < 6 || ((int (*)(void))dlsym(library, "answer"))() == 42, "the library's answer");
  return victim_end();
}
