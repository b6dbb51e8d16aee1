// Many processes: a fan with posix sessions and groups of their own, and a chain, each with its own memory and a pipe
// to the first process, which watches all pipes.
#include "tests/victims/process/tree/tree.h"

#include <sys/epoll.h>

enum { kFan = 24, kChain = 8 };

static _Atomic uint64_t* sum;

static int work(int number, int pipe_end) {
  char* own = map_anon(8 * PAGE);
  fill(own, 8 * PAGE, (uint64_t)number);
  child_wait();
  check_fill(own, 8 * PAGE, (uint64_t)number, "memory of its own");
  *sum += (uint64_t)number;
  MUST(write(pipe_end, &number, sizeof number));
  return child_failures();
}

static int chain(int depth, int pipe_end) {
  pid_t parent = getppid(), next = 0;
  if (depth < kChain) {
    next = MUST(fork());
    if (next == 0) _exit(chain(depth + 1, pipe_end));
  }
  int failed = work(1000 + depth, pipe_end);
  CHECK_EQ(getppid(), parent, "parent");
  if (next > 0) expect_exit(next, 0, "the next of the chain");
  return failed | child_failures();
}

static pid_t start(int number, int set, int* reading) {
  int ends[2];
  MUST(pipe(ends));
  *reading = ends[0];
  struct epoll_event event = {EPOLLIN, {.u32 = (uint32_t)number}};
  MUST(epoll_ctl(set, EPOLL_CTL_ADD, ends[0], &event));
  pid_t pid = MUST(fork());
  if (pid == 0) {
    if (number % 10 == 0) setsid();
    if (number % 10 == 1) setpgid(0, 0);
    _exit(number < kFan ? work(number, ends[1]) : chain(1, ends[1]));
  }
  close(ends[1]);
  return pid;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  sum = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  int set = MUST(epoll_create1(0)), reading[kFan + 1];
  pid_t pids[kFan + 1];
  for (int i = 0; i <= kFan; i++) pids[i] = start(i, set, &reading[i]);

  victim_wait();

  for (int i = 0; i <= kFan; i++) expect_exit(pids[i], 0, "a child");
  struct epoll_event events[2 * kFan];
  CHECK_EQ(epoll_wait(set, events, 2 * kFan, 0), kFan + 1, "pipes that are ready");
  for (int i = 0; i < kFan; i++) {
    int number = -1;
    MUST(read(reading[i], &number, sizeof number));
    CHECK_EQ(number, i, "what came through a pipe");
    CHECK_EQ(read(reading[i], &number, sizeof number), 0, "the end of a pipe");
  }
  CHECK_EQ(*sum, kFan * (kFan - 1) / 2 + kChain * 1000 + kChain * (kChain + 1) / 2, "the sum");
  return victim_end();
}
