// Helpers for victims with inet sockets.
#pragma once
#include "tests/victims/victim.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

// family AF_INET: 127.0.0.1, AF_INET6: ::1.
UNUSED static socklen_t loopback(int family, int port, struct sockaddr_storage* to) {
  memset(to, 0, sizeof *to);
  if (family == AF_INET) {
    struct sockaddr_in* in = (struct sockaddr_in*)to;
    in->sin_family = AF_INET;
    in->sin_port = htons((uint16_t)port);
    in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return sizeof *in;
  }
  struct sockaddr_in6* in = (struct sockaddr_in6*)to;
  in->sin6_family = AF_INET6;
  in->sin6_port = htons((uint16_t)port);
  in->sin6_addr = in6addr_loopback;
  return sizeof *in;
}

UNUSED static void set_int(int fd, int level, int name, int value) {
  MUST(setsockopt(fd, level, name, &value, sizeof value));
}

UNUSED static int get_int(int fd, int level, int name) {
  int value = -1;
  socklen_t length = sizeof value;
  return getsockopt(fd, level, name, &value, &length) == 0 ? value : -1;
}

UNUSED static int port_of(int fd) {
  struct sockaddr_storage name;
  socklen_t length = sizeof name;
  MUST(getsockname(fd, (struct sockaddr*)&name, &length));
  return ntohs(name.ss_family == AF_INET ? ((struct sockaddr_in*)&name)->sin_port
                                         : ((struct sockaddr_in6*)&name)->sin6_port);
}

// Makes a socket of `type` bound to the loopback address; port 0: any port.
UNUSED static int bound(int family, int type, int port) {
  struct sockaddr_storage to;
  int fd = MUST(socket(family, type, 0));
  socklen_t length = loopback(family, port, &to);
  MUST(bind(fd, (struct sockaddr*)&to, length));
  return fd;
}

UNUSED static int listening(int family, int port, int backlog) {
  struct sockaddr_storage to;
  int fd = MUST(socket(family, SOCK_STREAM, 0));
  set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  socklen_t length = loopback(family, port, &to);
  MUST(bind(fd, (struct sockaddr*)&to, length));
  MUST(listen(fd, backlog));
  return fd;
}

UNUSED static void connect_to(int fd, int family, int port) {
  struct sockaddr_storage to;
  socklen_t length = loopback(family, port, &to);
  MUST(connect(fd, (struct sockaddr*)&to, length));
}

struct tcp_pair {
  int client, server;
};

UNUSED static struct tcp_pair connected(int family, int listener) {
  struct tcp_pair pair;
  pair.client = MUST(socket(family, SOCK_STREAM, 0));
  connect_to(pair.client, family, port_of(listener));
  pair.server = MUST(accept(listener, NULL, NULL));
  return pair;
}

// Returns the state of TCP_INFO.
UNUSED static int state_of(int fd) {
  struct tcp_info info;
  socklen_t length = sizeof info;
  memset(&info, 0, sizeof info);
  return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) == 0 ? info.tcpi_state : -1;
}

// Waits until poll(2) reports one of these events, 5 s at most.
UNUSED static bool soon(int fd, short events) {
  struct pollfd poll_fd = {fd, events, 0};
  return poll(&poll_fd, 1, 5000) == 1 && (poll_fd.revents & events) != 0;
}

UNUSED static void send_all(int fd, const char* from, size_t length) {
  while (length > 0) {
    ssize_t put = send(fd, from, length, MSG_NOSIGNAL);
    if (put <= 0) {
      victim_fail("sending: %s", strerror(errno));
      return;
    }
    from += put, length -= (size_t)put;
  }
}

// Reads `length` bytes; fewer only at end of file or after 5 s without data.
UNUSED static size_t receive(int fd, char* to, size_t length) {
  size_t have = 0;
  while (have < length && soon(fd, POLLIN | POLLRDHUP | POLLHUP)) {
    ssize_t got = recv(fd, to + have, length - have, MSG_DONTWAIT);
    if (got <= 0) break;
    have += (size_t)got;
  }
  return have;
}

// Checks that both directions carry new bytes.
UNUSED static void check_talk(struct tcp_pair pair, const char* what) {
  char got[8] = "";
  send_all(pair.client, "ping", 4);
  CHECK(receive(pair.server, got, 4) == 4 && memcmp(got, "ping", 4) == 0, "%s: client to server: %s", what, got);
  send_all(pair.server, "pong", 4);
  CHECK(receive(pair.client, got, 4) == 4 && memcmp(got, "pong", 4) == 0, "%s: server to client: %s", what, got);
}

UNUSED static void check_end(int fd, const char* what) {
  char byte;
  CHECK(soon(fd, POLLIN) && recv(fd, &byte, 1, MSG_DONTWAIT) == 0, "%s: no end of the stream", what);
}
