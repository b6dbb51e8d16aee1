// Raw and packet sockets: protocols, filters, addresses, memberships.
#include "tests/victims/sockets/inet/inet.h"

#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/ip_icmp.h>

int main(int argc, char** argv) {
  victim_start(argc, argv);
  int icmp = MUST(socket(AF_INET, SOCK_RAW | SOCK_NONBLOCK, IPPROTO_ICMP));
  uint32_t filter = ~(1u << ICMP_ECHOREPLY);
  MUST(setsockopt(icmp, 255, 1, &filter, sizeof filter));
  set_int(icmp, IPPROTO_IP, IP_TTL, 9);
  int raw = MUST(socket(AF_INET, SOCK_RAW, IPPROTO_RAW));
  int six = MUST(socket(AF_INET6, SOCK_RAW, 200));
  struct sockaddr_storage here;
  socklen_t length = loopback(AF_INET6, 0, &here);
  MUST(bind(six, (struct sockaddr*)&here, length));
  int own = MUST(socket(AF_INET, SOCK_RAW, 199));
  length = loopback(AF_INET, 0, &here);
  MUST(connect(own, (struct sockaddr*)&here, length));
  set_int(own, IPPROTO_IP, IP_HDRINCL, 1);

  int packet = MUST(socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK, 0));
  struct sockaddr_ll link = {.sll_family = AF_PACKET, .sll_protocol = htons(0x88b5)};
  link.sll_ifindex = (int)if_nametoindex("lo");
  MUST(bind(packet, (struct sockaddr*)&link, sizeof link));
  set_int(packet, SOL_PACKET, PACKET_AUXDATA, 1);
  struct packet_mreq promiscuous = {.mr_ifindex = link.sll_ifindex, .mr_type = PACKET_MR_PROMISC};
  MUST(setsockopt(packet, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promiscuous, sizeof promiscuous));
  int silent = MUST(socket(AF_PACKET, SOCK_RAW, 0));

  victim_wait();

  uint32_t now = 0;
  length = sizeof now;
  MUST(getsockopt(icmp, 255, 1, &now, &length));
  CHECK_EQ(now, filter, "ICMP_FILTER");
  CHECK_EQ(get_int(icmp, IPPROTO_IP, IP_TTL), 9, "IP_TTL");
  CHECK_EQ(get_int(icmp, SOL_SOCKET, SO_PROTOCOL), IPPROTO_ICMP, "SO_PROTOCOL");
  CHECK_EQ(get_int(raw, IPPROTO_IP, IP_HDRINCL), 1, "IP_HDRINCL of IPPROTO_RAW");
  CHECK_EQ(get_int(own, IPPROTO_IP, IP_HDRINCL), 1, "IP_HDRINCL");
  CHECK_EQ(get_int(six, SOL_SOCKET, SO_PROTOCOL), 200, "SO_PROTOCOL, v6");
  struct sockaddr_in6 name;
  length = sizeof name;
  MUST(getsockname(six, (struct sockaddr*)&name, &length));
  CHECK(memcmp(&name.sin6_addr, &in6addr_loopback, 16) == 0, "the address of the v6 one");
  CHECK(send(own, "x", 1, 0) == -1 && errno == EINVAL, "no peer, or no IP_HDRINCL: %s", strerror(errno));
  struct sockaddr_ll where;
  length = sizeof where;
  MUST(getsockname(packet, (struct sockaddr*)&where, &length));
  CHECK_EQ(where.sll_protocol, htons(0x88b5), "protocol of the packet socket");
  CHECK_EQ(where.sll_ifindex, if_nametoindex("lo"), "interface of the packet socket");
  CHECK_EQ(get_int(packet, SOL_PACKET, PACKET_AUXDATA), 1, "PACKET_AUXDATA");
  CHECK(setsockopt(packet, SOL_PACKET, PACKET_DROP_MEMBERSHIP, &promiscuous, sizeof promiscuous) == 0,
        "its membership: %s", strerror(errno));
  CHECK_EQ(get_int(silent, SOL_SOCKET, SO_TYPE), SOCK_RAW, "type of the unbound");

  struct icmphdr echo = {.type = ICMP_ECHO, .un.echo.id = htons(77)};
  echo.checksum = (uint16_t) ~(uint32_t)(htons(0x0800) + htons(77));
  length = loopback(AF_INET, 0, &here);
  MUST(sendto(icmp, &echo, sizeof echo, 0, (struct sockaddr*)&here, length));
  CHECK(soon(icmp, POLLIN), "no answer to an echo");
  struct sockaddr_ll to = where;
  to.sll_halen = 6;
  MUST(sendto(packet, "frame", 5, 0, (struct sockaddr*)&to, sizeof to));
  char got[16];
  CHECK(soon(packet, POLLIN) && recv(packet, got, sizeof got, 0) == 5, "no frame arrives");
  return victim_end();
}
