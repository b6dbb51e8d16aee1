// connect(2) with a time limit on the socket (SO_SNDTIMEO), of which the kernel says -EINTR to who was stopped: what the stop was
// for is refused, since the connection is being made, and the program must not notice.
#include "inet.h"

#include "tree.h"

static int connecting;
static struct sockaddr_storage here;
static socklen_t length;

static int connect_there(void* unused) {
  (void)unused;
  CHECK(connect(connecting, (struct sockaddr*)&here, length) == 0, "connect: %s", strerror(errno));
  return child_failures();
}

static bool is_asleep_connecting(pid_t pid) {
  char path[64], text[256];
  snprintf(path, sizeof path, "/proc/%d/syscall", (int)pid);
  read_file(path, text, sizeof text);
  return atoi(text) == SYS_connect;  // "running" until it sleeps
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  int server = MUST(socket(AF_INET, SOCK_STREAM, 0));
  length = loopback(AF_INET, 0, &here);
  MUST(bind(server, (struct sockaddr*)&here, length));
  MUST(getsockname(server, (struct sockaddr*)&here, &length));
  MUST(listen(server, 0));
  int first = MUST(socket(AF_INET, SOCK_STREAM, 0));
  MUST(connect(first, (struct sockaddr*)&here, length));
  // There is no room for this one until the first is accepted.
  connecting = MUST(socket(AF_INET, SOCK_STREAM, 0));
  struct timeval limit = {60, 0};
  MUST(setsockopt(connecting, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit));
  pid_t child = spawn(connect_there, NULL);
  while (!is_asleep_connecting(child)) sched_yield();

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
