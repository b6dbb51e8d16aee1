// Sockets of a tree: a listening socket shared by workers, connections with ends in different processes, a connection
// that two processes have open, a UDP socket of parent and child.
#include "tests/victims/process/tree/tree.h"

#include "tests/victims/sockets/inet/inet.h"

enum { kWorkers = 3 };
static int listener, udp, shared_client, ready[2];
static int port;

// Accepts connections from the shared listening socket, and sends each its bytes back.
static int serve(void* unused) {
  (void)unused;
  MUST(write(ready[1], "r", 1));
  for (;;) {
    int fd = accept(listener, NULL, NULL);
    if (fd < 0) return 1;
    char got[16];
    ssize_t have;
    while ((have = recv(fd, got, sizeof got, 0)) > 0) {
      if (memcmp(got, "end", 3) == 0) return 0;
      send_all(fd, got, (size_t)have);
    }
    close(fd);
  }
}

static int talk(void* unused) {
  (void)unused;
  int fd = MUST(socket(AF_INET, SOCK_STREAM, 0));
  connect_to(fd, AF_INET, port);
  char got[16];
  uint64_t rounds = 0;
  MUST(write(ready[1], "r", 1));
  do {
    char text[16];
    snprintf(text, sizeof text, "%15llu", (unsigned long long)rounds);
    send_all(fd, text, 16);
    CHECK(receive(fd, got, 16) == 16 && memcmp(got, text, 16) == 0, "round %llu", (unsigned long long)rounds);
    struct timespec nap = {0, 1000000};
    nanosleep(&nap, NULL);
    rounds++;
  } while (access(victim_go, F_OK) != 0);
  shutdown(fd, SHUT_WR);
  check_end(fd, "the talk");
  return child_failures();
}

static int hold(void* unused) {
  (void)unused;
  MUST(write(ready[1], "r", 1));
  child_wait();
  char got[8];
  CHECK(recv(udp, got, sizeof got, MSG_DONTWAIT) == 5, "what waited in the shared UDP socket");
  send_all(shared_client, "child", 5);
  return child_failures();
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  listener = listening(AF_INET, 0, 16);
  port = port_of(listener);
  udp = bound(AF_INET, SOCK_DGRAM, 0);
  MUST(pipe(ready));
  struct tcp_pair own = connected(AF_INET, listener);
  shared_client = own.client;
  int sender = bound(AF_INET, SOCK_DGRAM, 0);
  connect_to(sender, AF_INET, port_of(udp));
  MUST(send(sender, "first", 5, 0));
  pid_t workers[kWorkers], talker, holder;
  for (int i = 0; i < kWorkers; i++) workers[i] = spawn(serve, NULL);
  talker = spawn(talk, NULL);
  holder = spawn(hold, NULL);
  char bytes[kWorkers + 2];
  for (size_t have = 0; have < sizeof bytes;) have += (size_t)MUST(read(ready[0], bytes, sizeof bytes - have));

  victim_wait();

  expect_exit(talker, 0, "who talks to a worker");
  expect_exit(holder, 0, "who shares sockets");
  char got[8];
  CHECK(receive(own.server, got, 5) == 5 && memcmp(got, "child", 5) == 0, "through the shared connection");
  check_talk(own, "the parent's");
  for (int i = 0; i < kWorkers; i++) {
    int fd = MUST(socket(AF_INET, SOCK_STREAM, 0));
    connect_to(fd, AF_INET, port);
    send_all(fd, "end", 3);
  }
  for (int i = 0; i < kWorkers; i++) expect_exit(workers[i], 0, "a worker");
  return victim_end();
}
