// UDP: bound, connected, with queued datagrams of several senders (empty ones, too), options, both families.
#include "tests/victims/sockets/inet/inet.h"

static void check_datagram(int fd, const char* want, size_t length, int from_port, const char* what) {
  char got[70000];
  struct sockaddr_storage from;
  socklen_t from_length = sizeof from;
  ssize_t have = recvfrom(fd, got, sizeof got, MSG_DONTWAIT, (struct sockaddr*)&from, &from_length);
  CHECK(have == (ssize_t)length && memcmp(got, want, length) == 0, "%s: %zd bytes, not %zu", what, have, length);
  if (have < 0) return;
  int port = ntohs(from.ss_family == AF_INET ? ((struct sockaddr_in*)&from)->sin_port
                                             : ((struct sockaddr_in6*)&from)->sin6_port);
  CHECK_EQ(port, from_port, what);
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  static char large[60000];
  fill(large, sizeof large, 7);
  int families[2] = {AF_INET, AF_INET6};
  int receiver[2], sender[2], other[2], linked[2], unbound[2], ports[2], sender_port[2], other_port[2];
  for (int i = 0; i < 2; i++) {
    int family = families[i];
    receiver[i] = bound(family, SOCK_DGRAM, 0);
    ports[i] = port_of(receiver[i]);
    sender[i] = bound(family, SOCK_DGRAM, 0);
    other[i] = bound(family, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    sender_port[i] = port_of(sender[i]), other_port[i] = port_of(other[i]);
    connect_to(sender[i], family, ports[i]);
    linked[i] = MUST(socket(family, SOCK_DGRAM, 0));
    connect_to(linked[i], family, sender_port[i]);
    unbound[i] = MUST(socket(family, SOCK_DGRAM, 0));
    MUST(send(sender[i], "one", 3, 0));
    struct sockaddr_storage to;
    socklen_t length = loopback(family, ports[i], &to);
    MUST(sendto(other[i], "", 0, 0, (struct sockaddr*)&to, length));
    MUST(sendto(other[i], large, sizeof large, 0, (struct sockaddr*)&to, length));
    MUST(send(sender[i], "four", 4, 0));
    set_int(unbound[i], SOL_SOCKET, SO_BROADCAST, 1);
    set_int(receiver[i], SOL_SOCKET, SO_RCVBUF, 300000);
  }
  set_int(unbound[0], IPPROTO_IP, IP_TTL, 33);
  set_int(unbound[0], IPPROTO_IP, IP_TOS, 0x10);
  set_int(unbound[0], IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO);
  set_int(unbound[0], IPPROTO_IP, IP_RECVERR, 1);
  set_int(unbound[0], IPPROTO_UDP, UDP_CORK, 1);
  set_int(unbound[1], IPPROTO_IPV6, IPV6_V6ONLY, 1);
  set_int(unbound[1], IPPROTO_IPV6, IPV6_UNICAST_HOPS, 44);
  set_int(unbound[1], IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
  set_int(unbound[1], IPPROTO_IPV6, IPV6_TCLASS, 8);

  int shut[3], ways[3] = {SHUT_RD, SHUT_WR, SHUT_RDWR};
  for (int i = 0; i < 3; i++) {
    shut[i] = bound(AF_INET, SOCK_DGRAM, 0);
    connect_to(shut[i], AF_INET, sender_port[0]);
    MUST(shutdown(shut[i], ways[i]));
  }

  victim_wait();

  signal(SIGPIPE, SIG_IGN);
  for (int i = 0; i < 3; i++) {
    char byte;
    bool reads = ways[i] == SHUT_WR, writes = ways[i] == SHUT_RD;
    struct pollfd entry = {shut[i], POLLIN, 0};
    CHECK_EQ(poll(&entry, 1, 0), !reads, "shut down: whether there is something to read");
    CHECK(reads || recv(shut[i], &byte, 1, 0) == 0, "shut down in way %d: no end of file", ways[i]);
    ssize_t got = send(shut[i], "x", 1, 0);
    CHECK(writes ? got == 1 : got == -1 && errno == EPIPE, "shut down in way %d: send gives %zd", ways[i], got);
  }

  for (int i = 0; i < 2; i++) {
    int family = families[i];
    CHECK_EQ(port_of(receiver[i]), ports[i], "port");
    check_datagram(receiver[i], "one", 3, sender_port[i], "the first");
    check_datagram(receiver[i], "", 0, other_port[i], "the empty one");
    check_datagram(receiver[i], large, sizeof large, other_port[i], "the large one");
    check_datagram(receiver[i], "four", 4, sender_port[i], "the last");
    char byte;
    CHECK(recv(receiver[i], &byte, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN, "more datagrams than there were");
    MUST(send(sender[i], "new", 3, 0));
    CHECK(soon(receiver[i], POLLIN), "nothing new arrives");
    check_datagram(receiver[i], "new", 3, sender_port[i], "a new one");
    // A connected socket receives from its peer only.
    int linked_port = port_of(linked[i]);
    struct sockaddr_storage to;
    socklen_t length = loopback(family, linked_port, &to);
    MUST(sendto(other[i], "no", 2, 0, (struct sockaddr*)&to, length));
    CHECK(recv(linked[i], &byte, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN, "a connected socket hears strangers");
    MUST(sendto(other[i], "yes", 3, 0, (struct sockaddr*)&to, loopback(family, ports[i], &to)));
    CHECK(soon(receiver[i], POLLIN), "the unconnected sender");
    check_datagram(receiver[i], "yes", 3, other_port[i], "from the unconnected sender");
    CHECK_EQ(get_int(receiver[i], SOL_SOCKET, SO_RCVBUF), 600000, "SO_RCVBUF");
    CHECK_EQ(get_int(unbound[i], SOL_SOCKET, SO_BROADCAST), 1, "SO_BROADCAST");
    CHECK_EQ(port_of(unbound[i]), 0, "port of the unbound");
  }
  CHECK_EQ(get_int(unbound[0], IPPROTO_IP, IP_TTL), 33, "IP_TTL");
  CHECK_EQ(get_int(unbound[0], IPPROTO_IP, IP_TOS), 0x10, "IP_TOS");
  CHECK_EQ(get_int(unbound[0], IPPROTO_IP, IP_MTU_DISCOVER), IP_PMTUDISC_DO, "IP_MTU_DISCOVER");
  CHECK_EQ(get_int(unbound[0], IPPROTO_IP, IP_RECVERR), 1, "IP_RECVERR");
  CHECK_EQ(get_int(unbound[0], IPPROTO_UDP, UDP_CORK), 1, "UDP_CORK");
  CHECK_EQ(get_int(unbound[1], IPPROTO_IPV6, IPV6_V6ONLY), 1, "IPV6_V6ONLY");
  CHECK_EQ(get_int(unbound[1], IPPROTO_IPV6, IPV6_UNICAST_HOPS), 44, "IPV6_UNICAST_HOPS");
  CHECK_EQ(get_int(unbound[1], IPPROTO_IPV6, IPV6_RECVPKTINFO), 1, "IPV6_RECVPKTINFO");
  CHECK_EQ(get_int(unbound[1], IPPROTO_IPV6, IPV6_TCLASS), 8, "IPV6_TCLASS");
  CHECK_EQ(get_int(unbound[1], IPPROTO_IPV6, IPV6_MULTICAST_HOPS), 1, "IPV6_MULTICAST_HOPS");
  return victim_end();
}
