// UDP-Lite: queued datagrams with their senders; partial checksums; peers; ends that are shut down.
#include "tests/victims/sockets/inet/inet.h"

#define UDPLITE_LEVEL 136
#define SEND_COVERAGE 10

struct ends {
  int receiver, sender, deaf, empty;
};

static int made(int family, bool binds) {
  struct sockaddr_storage to;
  int fd = MUST(socket(family, SOCK_DGRAM, IPPROTO_UDPLITE));
  socklen_t length = loopback(family, 0, &to);
  if (binds) MUST(bind(fd, (struct sockaddr*)&to, length));
  return fd;
}

static void prepare(struct ends* ends, int family) {
  ends->receiver = made(family, true);
  ends->sender = made(family, true);
  ends->deaf = made(family, true);
  ends->empty = made(family, false);
  connect_to(ends->sender, family, port_of(ends->receiver));
  MUST(send(ends->sender, "first", 5, 0));
  set_int(ends->sender, UDPLITE_LEVEL, SEND_COVERAGE, 8);
  MUST(send(ends->sender, "", 0, 0));
  MUST(send(ends->sender, "the third", 9, 0));
  connect_to(ends->deaf, family, port_of(ends->receiver));
  MUST(shutdown(ends->deaf, SHUT_RDWR));
}

static void check_from(const struct ends* ends, const char* want) {
  struct sockaddr_storage from, sender;
  socklen_t length = sizeof from;
  char got[64];
  CHECK(soon(ends->receiver, POLLIN), "\"%s\" does not come", want);
  ssize_t bytes = recvfrom(ends->receiver, got, sizeof got, MSG_DONTWAIT, (struct sockaddr*)&from, &length);
  CHECK(bytes == (ssize_t)strlen(want) && memcmp(got, want, strlen(want)) == 0, "%zd bytes (%s), not \"%s\"", bytes,
        strerror(errno), want);
  MUST(getsockname(ends->sender, (struct sockaddr*)&sender, &length));
  CHECK(memcmp(&from, &sender, length) == 0, "who sent \"%s\" is another", want);
}

static void check(const struct ends* ends) {
  check_from(ends, "first");
  check_from(ends, "");
  check_from(ends, "the third");
  CHECK_EQ(get_int(ends->sender, UDPLITE_LEVEL, SEND_COVERAGE), 8, "UDPLITE_SEND_CSCOV");
  CHECK(send(ends->sender, "later", 5, 0) == 5, "sending: %s", strerror(errno));
  check_from(ends, "later");
  char got[8];
  CHECK_EQ(recv(ends->receiver, got, 8, MSG_DONTWAIT), -1, "there is more");
  CHECK_EQ(recv(ends->deaf, got, 8, 0), 0, "the closed one");
  CHECK(send(ends->deaf, "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE, "the closed one sends: %s", strerror(errno));
  CHECK_EQ(get_int(ends->empty, SOL_SOCKET, SO_PROTOCOL), IPPROTO_UDPLITE, "SO_PROTOCOL");
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  struct ends four, six;
  prepare(&four, AF_INET);
  prepare(&six, AF_INET6);
  victim_wait();
  check(&four);
  check(&six);
  return victim_end();
}
