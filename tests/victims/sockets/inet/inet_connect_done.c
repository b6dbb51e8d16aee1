// connect(2) of a process whose connection is made while it is stopped: the call succeeds when the process continues.
#include "tests/victims/sockets/inet/full_listener.h"

int main(int argc, char** argv) {
  victim_start(argc, argv);
  pid_t child = start_connecting(NULL);
  MUST(kill(child, SIGSTOP));
  int status = 0;
  MUST(waitpid(child, &status, WUNTRACED));
  int accepted = MUST(accept(server, NULL, NULL));
  struct sockaddr_storage peer;
  struct timespec step = {0, 5000000};
  for (socklen_t size = sizeof peer; getpeername(connecting, (struct sockaddr*)&peer, &size) != 0; size = sizeof peer)
    nanosleep(&step, NULL);
  int second = MUST(accept(server, NULL, NULL));

  victim_wait();

  MUST(kill(child, SIGCONT));
  expect_exit(child, 0, "the child that was connecting");
  MUST(write(connecting, "x", 1));
  char got = 0;
  CHECK(read(second, &got, 1) == 1 && got == 'x', "nothing comes through the connection");
  MUST(write(first, "y", 1));
  CHECK(read(accepted, &got, 1) == 1 && got == 'y', "nothing comes through the first connection");
  return victim_end();
}
