// Raw sockets of protocols that the kernel itself handles, which get copies of packets for others; and the highest
// protocol number.
#include "tests/victims/sockets/inet/inet.h"

#define LAST_PROTOCOL 262
#define ICMP6_FILTER_OPTION 1

static int raw(int family, int protocol) {
  return MUST(socket(family, SOCK_RAW | SOCK_NONBLOCK, protocol));
}

static void attach(int fd, int family, bool connects) {
  struct sockaddr_storage here;
  socklen_t length = loopback(family, 0, &here);
  MUST((connects ? connect : bind)(fd, (struct sockaddr*)&here, length));
}

// getpeername(2) fails for peers without a port.
static void check_peer(int fd, const char* what) {
  CHECK(send(fd, "12345678", 8, MSG_NOSIGNAL) == 8, "%s: no peer: %s", what, strerror(errno));
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  static const int families[] = {AF_INET, AF_INET6};
  static const int protocols[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_UDPLITE, LAST_PROTOCOL};
  int sockets[2][4];
  for (int i = 0; i < 2; i++) {
    for (int j = 0; j < 4; j++) sockets[i][j] = raw(families[i], protocols[j]);
  }
  int bound_tcp = raw(AF_INET, IPPROTO_TCP), peer_udp = raw(AF_INET, IPPROTO_UDP),
      peer_six = raw(AF_INET6, IPPROTO_UDP);
  attach(bound_tcp, AF_INET, false);
  attach(peer_udp, AF_INET, true);
  attach(peer_six, AF_INET6, true);
  int icmp = raw(AF_INET6, IPPROTO_ICMPV6), deaf = raw(AF_INET, 200), headers = raw(AF_INET, IPPROTO_UDP);
  uint32_t filter[8] = {~0u, 5, 6, 7, ~0u, ~0u, ~0u, ~0u}, filter_now[8];
  MUST(setsockopt(icmp, IPPROTO_ICMPV6, ICMP6_FILTER_OPTION, filter, sizeof filter));
  set_int(headers, IPPROTO_IP, IP_HDRINCL, 1);
  attach(deaf, AF_INET, true);
  MUST(shutdown(deaf, SHUT_RD));
  // A packet that is queued in the sockets for UDP.
  int receiver = bound(AF_INET, SOCK_DGRAM, 0), sender = MUST(socket(AF_INET, SOCK_DGRAM, 0));
  connect_to(sender, AF_INET, port_of(receiver));
  MUST(send(sender, "copied", 6, 0));
  MUST(soon(sockets[0][1], POLLIN) ? 0 : -1);

  victim_wait();

  for (int i = 0; i < 2; i++) {
    for (int j = 0; j < 4; j++) {
      CHECK_EQ(get_int(sockets[i][j], SOL_SOCKET, SO_PROTOCOL), protocols[j], "SO_PROTOCOL");
      CHECK_EQ(get_int(sockets[i][j], SOL_SOCKET, SO_TYPE), SOCK_RAW, "SO_TYPE");
      CHECK_EQ(get_int(sockets[i][j], SOL_SOCKET, SO_DOMAIN), families[i], "SO_DOMAIN");
    }
  }
  struct sockaddr_in name = {0};
  socklen_t length = sizeof name;
  MUST(getsockname(bound_tcp, (struct sockaddr*)&name, &length));
  CHECK_EQ(ntohl(name.sin_addr.s_addr), INADDR_LOOPBACK, "the address of the bound one");
  check_peer(peer_udp, "UDP, v4");
  check_peer(peer_six, "UDP, v6");
  length = sizeof filter_now;
  MUST(getsockopt(icmp, IPPROTO_ICMPV6, ICMP6_FILTER_OPTION, filter_now, &length));
  CHECK(memcmp(filter, filter_now, sizeof filter) == 0, "the filter for ICMPv6: %x %x", filter_now[0], filter_now[1]);
  CHECK_EQ(get_int(headers, IPPROTO_IP, IP_HDRINCL), 1, "IP_HDRINCL");
  char got[2000];
  while (recv(sockets[0][1], got, sizeof got, MSG_DONTWAIT) >= 0) continue;
  MUST(send(sender, "again!", 6, 0));
  CHECK(soon(sockets[0][1], POLLIN), "no copy of a datagram");
  check_peer(deaf, "closed for reading");
  return victim_end();
}
