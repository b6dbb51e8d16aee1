// TCP sockets that are not connected: new, bound, listening, sharing a port, with options, of both families, MPTCP.
#include "tests/victims/sockets/inet/inet.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

static void check_accepts(int listener, int family, const char* what) {
  struct tcp_pair pair;
  pair.client = MUST(socket(family, SOCK_STREAM, 0));
  struct sockaddr_storage to;
  socklen_t length = loopback(family, port_of(listener), &to);
  CHECK(connect(pair.client, (struct sockaddr*)&to, length) == 0, "%s: connecting: %s", what, strerror(errno));
  CHECK(soon(listener, POLLIN), "%s: nobody comes", what);
  pair.server = accept(listener, NULL, NULL);
  CHECK(pair.server >= 0, "%s: accept: %s", what, strerror(errno));
  if (pair.server >= 0) check_talk(pair, what);
  struct linger now = {1, 0};
  setsockopt(pair.client, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  close(pair.client);
  close(pair.server);
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  int plain = listening(AF_INET, 0, 7);
  int six = listening(AF_INET6, 0, 128);
  int fresh = MUST(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  int only_bound = bound(AF_INET, SOCK_STREAM, 0), bound_port = port_of(only_bound);
  int plain_port = port_of(plain), six_port = port_of(six);

  // The wildcard address, both families through one socket.
  int any = MUST(socket(AF_INET6, SOCK_STREAM, 0));
  set_int(any, IPPROTO_IPV6, IPV6_V6ONLY, 0);
  struct sockaddr_in6 everybody = {.sin6_family = AF_INET6};
  MUST(bind(any, (struct sockaddr*)&everybody, sizeof everybody));
  MUST(listen(any, 5));
  int any_port = port_of(any);

  int shared[2];
  for (int i = 0; i < 2; i++) {
    shared[i] = MUST(socket(AF_INET, SOCK_STREAM, 0));
    set_int(shared[i], SOL_SOCKET, SO_REUSEPORT, 1);
    struct sockaddr_storage to;
    socklen_t length = loopback(AF_INET, i == 0 ? 0 : port_of(shared[0]), &to);
    MUST(bind(shared[i], (struct sockaddr*)&to, length));
    MUST(listen(shared[i], 5));
  }

  int multi = socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP);
  if (multi >= 0) {
    struct sockaddr_storage to;
    socklen_t length = loopback(AF_INET, 0, &to);
    MUST(bind(multi, (struct sockaddr*)&to, length));
    MUST(listen(multi, 5));
  }

  set_int(fresh, IPPROTO_TCP, TCP_NODELAY, 1);
  set_int(fresh, IPPROTO_TCP, TCP_USER_TIMEOUT, 12345);
  set_int(fresh, IPPROTO_TCP, TCP_MAXSEG, 1000);
  set_int(fresh, IPPROTO_TCP, TCP_SYNCNT, 3);
  set_int(fresh, IPPROTO_TCP, TCP_LINGER2, 7);
  set_int(fresh, IPPROTO_TCP, TCP_NOTSENT_LOWAT, 5000);
  set_int(fresh, IPPROTO_TCP, TCP_WINDOW_CLAMP, 30000);
  set_int(fresh, IPPROTO_IP, IP_FREEBIND, 1);
  set_int(plain, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_int(plain, IPPROTO_TCP, TCP_KEEPIDLE, 111);
  set_int(plain, IPPROTO_TCP, TCP_KEEPINTVL, 22);
  set_int(plain, IPPROTO_TCP, TCP_KEEPCNT, 3);
  set_int(plain, IPPROTO_TCP, TCP_FASTOPEN, 4);
  set_int(six, IPPROTO_TCP, TCP_DEFER_ACCEPT, 3);
  MUST(setsockopt(plain, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3));
  MUST(setsockopt(fresh, IPPROTO_TCP, TCP_CONGESTION, "reno", 4));
  int reuse[3] = {get_int(plain, SOL_SOCKET, SO_REUSEADDR), get_int(any, SOL_SOCKET, SO_REUSEADDR),
                  get_int(only_bound, SOL_SOCKET, SO_REUSEADDR)};
  int defer = get_int(six, IPPROTO_TCP, TCP_DEFER_ACCEPT);

  victim_wait();

  CHECK_EQ(port_of(plain), plain_port, "port");
  CHECK_EQ(port_of(six), six_port, "port, v6");
  CHECK_EQ(port_of(any), any_port, "port of everybody's address");
  CHECK_EQ(port_of(only_bound), bound_port, "port of the bound one");
  CHECK_EQ(port_of(fresh), 0, "port of the new one");
  struct tcp_info info;
  socklen_t length = sizeof info;
  MUST(getsockopt(plain, IPPROTO_TCP, TCP_INFO, &info, &length));
  CHECK_EQ(info.tcpi_sacked, 7, "backlog");
  CHECK_EQ(get_int(fresh, IPPROTO_TCP, TCP_NODELAY), 1, "TCP_NODELAY");
  CHECK_EQ(get_int(fresh, IPPROTO_TCP, TCP_USER_TIMEOUT), 12345, "TCP_USER_TIMEOUT");
  CHECK_EQ(get_int(fresh, IPPROTO_TCP, TCP_MAXSEG), 1000, "TCP_MAXSEG");
  CHECK_EQ(get_int(fresh, IPPROTO_TCP, TCP_SYNCNT), 3, "TCP_SYNCNT");
  CHECK_EQ(get_int(fresh, IPPROTO_TCP, TCP_LINGER2), 7, "TCP_LINGER2");
  CHECK_EQ(get_int(fresh, IPPROTO_TCP, TCP_NOTSENT_LOWAT), 5000, "TCP_NOTSENT_LOWAT");
  CHECK_EQ(get_int(fresh, IPPROTO_TCP, TCP_WINDOW_CLAMP), 30000, "TCP_WINDOW_CLAMP");
  CHECK_EQ(get_int(fresh, IPPROTO_IP, IP_FREEBIND), 1, "IP_FREEBIND");
  char name[16] = "";
  length = sizeof name;
  MUST(getsockopt(fresh, IPPROTO_TCP, TCP_CONGESTION, name, &length));
  CHECK(strcmp(name, "reno") == 0, "TCP_CONGESTION %s", name);
  length = sizeof name;
  MUST(getsockopt(plain, SOL_SOCKET, SO_BINDTODEVICE, name, &length));
  CHECK(strcmp(name, "lo") == 0, "SO_BINDTODEVICE %s", name);
  CHECK_EQ(get_int(plain, SOL_SOCKET, SO_KEEPALIVE), 1, "SO_KEEPALIVE");
  CHECK_EQ(get_int(plain, IPPROTO_TCP, TCP_KEEPIDLE), 111, "TCP_KEEPIDLE");
  CHECK_EQ(get_int(plain, IPPROTO_TCP, TCP_KEEPINTVL), 22, "TCP_KEEPINTVL");
  CHECK_EQ(get_int(plain, IPPROTO_TCP, TCP_KEEPCNT), 3, "TCP_KEEPCNT");
  CHECK_EQ(get_int(plain, IPPROTO_TCP, TCP_FASTOPEN), 4, "TCP_FASTOPEN");
  CHECK_EQ(get_int(six, IPPROTO_TCP, TCP_DEFER_ACCEPT), defer, "TCP_DEFER_ACCEPT");
  CHECK_EQ(get_int(plain, SOL_SOCKET, SO_REUSEADDR), reuse[0], "SO_REUSEADDR of the listening");
  CHECK_EQ(get_int(any, SOL_SOCKET, SO_REUSEADDR), reuse[1], "SO_REUSEADDR of everybody's");
  CHECK_EQ(get_int(only_bound, SOL_SOCKET, SO_REUSEADDR), reuse[2], "SO_REUSEADDR of the bound");
  CHECK_EQ(get_int(shared[1], SOL_SOCKET, SO_REUSEPORT), 1, "SO_REUSEPORT");
  CHECK_EQ(port_of(shared[0]), port_of(shared[1]), "the shared port");
  check_accepts(plain, AF_INET, "v4");
  set_int(six, IPPROTO_TCP, TCP_DEFER_ACCEPT, 0);
  check_accepts(six, AF_INET6, "v6");
  check_accepts(any, AF_INET, "v4 through v6");
  check_accepts(any, AF_INET6, "everybody's address");
  if (multi >= 0) {
    CHECK_EQ(get_int(multi, SOL_SOCKET, SO_PROTOCOL), IPPROTO_MPTCP, "SO_PROTOCOL");
    check_accepts(multi, AF_INET, "MPTCP");
  }
  close(shared[0]);
  check_accepts(shared[1], AF_INET, "the second of a shared port");
  CHECK(listen(only_bound, 3) == 0, "listening on the bound one: %s", strerror(errno));
  return victim_end();
}
