// connect(2) of a stopped process whose connection came about while it was stopped: it succeeds when the process goes on.
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

static bool is_connecting(pid_t pid) {
  char path[64], text[256];
  snprintf(path, sizeof path, "/proc/%d/syscall", (int)pid);
  read_file(path, text, sizeof text);
  return atoi(text) == SYS_connect;
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
  pid_t child = spawn(connect_there, NULL);
  while (!is_connecting(child)) sched_yield();
  MUST(kill(child, SIGSTOP));
  int status = 0;
  MUST(waitpid(child, &status, WUNTRACED));
  int accepted = MUST(accept(server, NULL, NULL));
  struct sockaddr_storage peer;
  struct timespec step = {0, 5000000};
  for (socklen_t size = sizeof peer; getpeername(connecting, (struct sockaddr*)&peer, &size) != 0; size = sizeof peer) nanosleep(&step, NULL);
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
