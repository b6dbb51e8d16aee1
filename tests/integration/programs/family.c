// A parent and its children, connected by pipes and by pairs of unix sockets with queued data, as far as CRIU's images
// support them.
#include "../../victims/process/tree/tree.h"

#include <sys/socket.h>

enum { kChildren = 3 };

struct ties {
  int number, pair, pipe;
};

static int live(void* argument) {
  struct ties* ties = argument;
  pid_t parent = getppid();
  char got[64] = "", want[64];
  uint64_t* memory = map_anon(64 * PAGE);
  fill(memory, 64 * PAGE, (uint64_t)ties->number + 5);
  child_wait();
  CHECK_EQ(getppid(), parent, "ppid");
  check_fill(memory, 64 * PAGE, (uint64_t)ties->number + 5, "a child's memory");
  int length = snprintf(want, sizeof want, "for child %d", ties->number);
  CHECK(read(ties->pair, got, sizeof got) == length && memcmp(got, want, (size_t)length) == 0,
        "what waited in the pair: %s", got);
  CHECK_EQ(write(ties->pair, "here", 4), 4, "answering");
  CHECK_EQ(write(ties->pipe, "x", 1), 1, "the pipe");
  return child_failures();
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  int pipes[2], pairs[kChildren][2];
  pid_t children[kChildren];
  MUST(pipe(pipes));
  for (int i = 0; i < kChildren; i++) {
    char text[64];
    MUST(socketpair(AF_UNIX, i == 1 ? SOCK_SEQPACKET : SOCK_STREAM, 0, pairs[i]));
    int length = snprintf(text, sizeof text, "for child %d", i);
    MUST(write(pairs[i][0], text, (size_t)length));
    struct ties ties = {i, pairs[i][1], pipes[1]};
    children[i] = spawn(live, &ties);
    close(pairs[i][1]);
  }
  victim_wait();
  for (int i = 0; i < kChildren; i++) {
    char got[8] = "";
    CHECK(read(pairs[i][0], got, sizeof got) == 4 && memcmp(got, "here", 4) == 0, "the answer: %s", got);
    expect_exit(children[i], 0, "a child");
    CHECK_EQ(read(pairs[i][0], got, 1), 0, "end of file");
  }
  char got[8];
  CHECK_EQ(read(pipes[0], got, sizeof got), kChildren, "from the pipe");
  return victim_end();
}
