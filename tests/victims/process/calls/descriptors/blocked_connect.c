// connect(2) on a socket with a time limit (SO_SNDTIMEO): a stop makes the kernel return -EINTR. The program must not
// notice: a second call would fail, since the connection is being made already.
#include "tests/victims/sockets/inet/full_listener.h"

int main(int argc, char** argv) {
  victim_start(argc, argv);
  struct timeval limit = {60, 0};
  pid_t child = start_connecting(&limit);

  victim_wait();

  int accepted = MUST(accept(server, NULL, NULL));
  int second = MUST(accept(server, NULL, NULL));
  expect_exit(child, 0, "the child that was connecting");
  MUST(write(connecting, "x", 1));
  char got = 0;
  CHECK(read(second, &got, 1) == 1 && got == 'x', "nothing comes through the connection");
  close(accepted);
  return victim_end();
}
