// Inet sockets in rare states: disconnected again, no longer listening, several on one port (SO_REUSEPORT), IPv4
// addresses of IPv6 sockets; with options that other victims do not use.
#include "tests/victims/sockets/inet/inet.h"

#ifndef SO_TXREHASH
#define SO_TXREHASH 74
#endif
#define MULTICAST_ALL_V6 29  // IPV6_MULTICAST_ALL

static int named(int type, int port, bool listens) {
  struct sockaddr_storage at;
  int fd = MUST(socket(AF_INET, type, 0));
  set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1);
  socklen_t length = loopback(AF_INET, port, &at);
  MUST(bind(fd, (struct sockaddr*)&at, length));
  if (listens) MUST(listen(fd, 4));
  return fd;
}

static int dial(int fd, int family, int port) {
  struct sockaddr_storage to;
  socklen_t length = loopback(family, port, &to);
  return connect(fd, (struct sockaddr*)&to, length);
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  const struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
  int server = listening(AF_INET, 0, 5), port = port_of(server);
  int deaf = listening(AF_INET, 0, 5);
  MUST(shutdown(deaf, SHUT_RD));
  int again = MUST(socket(AF_INET, SOCK_STREAM, 0));
  MUST(dial(again, AF_INET, port));
  close(MUST(accept(server, NULL, NULL)));
  MUST(connect(again, &nowhere, sizeof nowhere));
  get_int(again, SOL_SOCKET, SO_ERROR);
  int datagrams = MUST(socket(AF_INET6, SOCK_DGRAM, 0));
  MUST(dial(datagrams, AF_INET6, 9));
  MUST(connect(datagrams, &nowhere, sizeof nowhere));
  int one = named(SOCK_STREAM, 0, true), two = named(SOCK_STREAM, port_of(one), true);
  int three = named(SOCK_DGRAM, port_of(one), false), four = named(SOCK_DGRAM, port_of(one), false);
  int mapped = MUST(socket(AF_INET6, SOCK_STREAM, 0)), six = MUST(socket(AF_INET6, SOCK_STREAM, 0));
  struct sockaddr_in6 v4 = {.sin6_family = AF_INET6};
  inet_pton(AF_INET6, "::ffff:127.0.0.1", &v4.sin6_addr);
  MUST(bind(mapped, (struct sockaddr*)&v4, sizeof v4));
  MUST(listen(mapped, 2));
  const struct {
    int fd, level, name, value;
  } options[] = {{server, SOL_SOCKET, SO_TXREHASH, 0},
                 {one, SOL_SOCKET, SO_INCOMING_CPU, 1},
                 {two, SOL_SOCKET, SO_INCOMING_CPU, 0},
                 {three, SOL_SOCKET, SO_INCOMING_CPU, 1},
                 {server, IPPROTO_IP, IP_MULTICAST_LOOP, 0},
                 {server, IPPROTO_IP, IP_MULTICAST_ALL, 0},
                 {six, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 0},
                 {six, IPPROTO_IPV6, MULTICAST_ALL_V6, 0},
                 {datagrams, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, 7},
                 {datagrams, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 0},
                 {datagrams, IPPROTO_IPV6, MULTICAST_ALL_V6, 0}};
  const int count = sizeof options / sizeof *options;
  for (int i = 0; i < count; i++) set_int(options[i].fd, options[i].level, options[i].name, options[i].value);

  victim_wait();

  for (int i = 0; i < count; i++) {
    char what[64];
    snprintf(what, sizeof what, "option %d of level %d", options[i].name, options[i].level);
    CHECK_EQ(get_int(options[i].fd, options[i].level, options[i].name), options[i].value, what);
  }
  CHECK_EQ(get_int(deaf, SOL_SOCKET, SO_ACCEPTCONN), 0, "one that listened listens");
  CHECK(dial(again, AF_INET, port) == 0, "connecting again: %s", strerror(errno));
  int client = MUST(socket(AF_INET, SOCK_STREAM, 0)), sender = MUST(socket(AF_INET, SOCK_DGRAM, 0));
  CHECK(dial(client, AF_INET, port_of(mapped)) == 0, "a v4 client of a v6 socket: %s", strerror(errno));
  MUST(dial(sender, AF_INET, port_of(three)));
  MUST(send(sender, "x", 1, 0));
  struct pollfd either[] = {{three, POLLIN, 0}, {four, POLLIN, 0}};
  CHECK_EQ(poll(either, 2, 2000), 1, "how many of two got a datagram");
  return victim_end();
}
