// Multicast groups and options of raw and UDP-Lite sockets, and IPv4 groups of IPv6 sockets.
#include "tests/victims/sockets/inet/inet.h"

#include <net/if.h>

static struct group_req request(int family, const char* group) {
  struct group_req wanted;
  memset(&wanted, 0, sizeof wanted);
  wanted.gr_interface = if_nametoindex("lo");
  wanted.gr_group.ss_family = (sa_family_t)family;
  struct sockaddr_in* four = (struct sockaddr_in*)&wanted.gr_group;
  struct sockaddr_in6* six = (struct sockaddr_in6*)&wanted.gr_group;
  inet_pton(family, group, family == AF_INET ? (void*)&four->sin_addr : (void*)&six->sin6_addr);
  return wanted;
}

static int level_of(int family) {
  return family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6;
}

static void join(int fd, int family, const char* group) {
  struct group_req wanted = request(family, group);
  MUST(setsockopt(fd, level_of(family), MCAST_JOIN_GROUP, &wanted, sizeof wanted));
}

static bool is_member(int fd, int family, const char* group) {
  char room[GROUP_FILTER_SIZE(4)];
  struct group_filter* filter = (struct group_filter*)room;
  memset(room, 0, sizeof room);
  filter->gf_interface = if_nametoindex("lo");
  filter->gf_group = request(family, group).gr_group;
  filter->gf_numsrc = 4;
  socklen_t length = sizeof room;
  return getsockopt(fd, level_of(family), MCAST_MSFILTER, room, &length) == 0;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  int raw4 = MUST(socket(AF_INET, SOCK_RAW, 200)), raw6 = MUST(socket(AF_INET6, SOCK_RAW, 200));
  int udp6 = MUST(socket(AF_INET6, SOCK_DGRAM, 0)), lite = socket(AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE);
  int device = (int)if_nametoindex("lo");
  join(raw4, AF_INET, "239.7.7.7");
  join(raw6, AF_INET6, "ff02::777");
  join(udp6, AF_INET6, "ff02::778");
  join(udp6, AF_INET, "239.7.7.8");
  if (lite >= 0) join(lite, AF_INET, "239.7.7.9");
  set_int(raw4, IPPROTO_IP, IP_MULTICAST_TTL, 4);
  set_int(raw6, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, 3);
  set_int(raw6, IPPROTO_IPV6, IPV6_MULTICAST_IF, device);

  victim_wait();

  CHECK(is_member(raw4, AF_INET, "239.7.7.7"), "the group of a raw socket");
  CHECK(is_member(raw6, AF_INET6, "ff02::777"), "the group of a raw v6 socket");
  CHECK(is_member(udp6, AF_INET6, "ff02::778"), "the group of a v6 UDP socket");
  CHECK(is_member(udp6, AF_INET, "239.7.7.8"), "the v4 group of a v6 UDP socket");
  CHECK(!is_member(raw4, AF_INET, "239.7.7.8"), "the group of another socket");
  if (lite >= 0) CHECK(is_member(lite, AF_INET, "239.7.7.9"), "the group of a UDP-Lite socket");
  CHECK_EQ(get_int(raw4, IPPROTO_IP, IP_MULTICAST_TTL), 4, "IP_MULTICAST_TTL");
  CHECK_EQ(get_int(raw6, IPPROTO_IPV6, IPV6_MULTICAST_HOPS), 3, "IPV6_MULTICAST_HOPS");
  CHECK_EQ(get_int(raw6, IPPROTO_IPV6, IPV6_MULTICAST_IF), device, "IPV6_MULTICAST_IF");
  return victim_end();
}
