// Multicast groups of UDP sockets, with their source filters, of both families.
#include "tests/victims/sockets/inet/inet.h"

#include <net/if.h>

static struct sockaddr_storage group_address(int family, const char* text) {
  struct sockaddr_storage address;
  memset(&address, 0, sizeof address);
  address.ss_family = (sa_family_t)family;
  if (family == AF_INET)
    inet_pton(family, text, &((struct sockaddr_in*)&address)->sin_addr);
  else
    inet_pton(family, text, &((struct sockaddr_in6*)&address)->sin6_addr);
  return address;
}

static void join(int fd, int family, const char* group) {
  struct group_req request;
  memset(&request, 0, sizeof request);
  request.gr_interface = if_nametoindex("lo");
  request.gr_group = group_address(family, group);
  MUST(setsockopt(fd, family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6, MCAST_JOIN_GROUP, &request, sizeof request));
}

static void with_source(int fd, int family, int name, const char* group, const char* source) {
  struct group_source_req request;
  memset(&request, 0, sizeof request);
  request.gsr_interface = if_nametoindex("lo");
  request.gsr_group = group_address(family, group);
  request.gsr_source = group_address(family, source);
  MUST(setsockopt(fd, family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6, name, &request, sizeof request));
}

// Returns -1 for no membership; otherwise the mode, and the number of its sources.
static int membership(int fd, int family, const char* group, unsigned* sources) {
  char room[GROUP_FILTER_SIZE(16)];
  struct group_filter* filter = (struct group_filter*)room;
  memset(room, 0, sizeof room);
  filter->gf_interface = if_nametoindex("lo");
  filter->gf_group = group_address(family, group);
  filter->gf_numsrc = 16;
  socklen_t length = sizeof room;
  if (getsockopt(fd, family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6, MCAST_MSFILTER, room, &length) != 0) return -1;
  *sources = filter->gf_numsrc;
  return (int)filter->gf_fmode;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  int four = MUST(socket(AF_INET, SOCK_DGRAM, 0)), six = MUST(socket(AF_INET6, SOCK_DGRAM, 0));
  int none = MUST(socket(AF_INET, SOCK_DGRAM, 0));
  struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = 0};
  MUST(bind(four, (struct sockaddr*)&any, sizeof any));
  join(four, AF_INET, "239.1.2.3");
  with_source(four, AF_INET, MCAST_JOIN_SOURCE_GROUP, "239.1.2.4", "127.0.0.1");
  join(four, AF_INET, "239.1.2.5");
  with_source(four, AF_INET, MCAST_BLOCK_SOURCE, "239.1.2.5", "10.1.1.1");
  with_source(four, AF_INET, MCAST_BLOCK_SOURCE, "239.1.2.5", "10.1.1.2");
  join(six, AF_INET6, "ff02::1234");
  set_int(four, IPPROTO_IP, IP_MULTICAST_TTL, 5);
  set_int(four, IPPROTO_IP, IP_MULTICAST_LOOP, 0);
  set_int(four, IPPROTO_IP, IP_MULTICAST_ALL, 0);
  struct in_addr out = {htonl(INADDR_LOOPBACK)};
  MUST(setsockopt(four, IPPROTO_IP, IP_MULTICAST_IF, &out, sizeof out));
  set_int(six, IPPROTO_IPV6, IPV6_MULTICAST_IF, (int)if_nametoindex("lo"));

  victim_wait();

  unsigned sources = 0;
  CHECK_EQ(membership(four, AF_INET, "239.1.2.3", &sources), MCAST_EXCLUDE, "the first group");
  CHECK_EQ(sources, 0, "sources of the first");
  CHECK_EQ(membership(four, AF_INET, "239.1.2.4", &sources), MCAST_INCLUDE, "the second group");
  CHECK_EQ(sources, 1, "sources of the second");
  CHECK_EQ(membership(four, AF_INET, "239.1.2.5", &sources), MCAST_EXCLUDE, "the third group");
  CHECK_EQ(sources, 2, "sources of the third");
  CHECK_EQ(membership(six, AF_INET6, "ff02::1234", &sources), MCAST_EXCLUDE, "the v6 group");
  CHECK_EQ(membership(none, AF_INET, "239.1.2.3", &sources), -1, "a group that was not joined");
  CHECK_EQ(get_int(four, IPPROTO_IP, IP_MULTICAST_TTL), 5, "IP_MULTICAST_TTL");
  CHECK_EQ(get_int(four, IPPROTO_IP, IP_MULTICAST_LOOP), 0, "IP_MULTICAST_LOOP");
  CHECK_EQ(get_int(four, IPPROTO_IP, IP_MULTICAST_ALL), 0, "IP_MULTICAST_ALL");
  CHECK_EQ(get_int(four, IPPROTO_IP, IP_MULTICAST_IF), (int)htonl(INADDR_LOOPBACK), "IP_MULTICAST_IF");
  CHECK_EQ(get_int(six, IPPROTO_IPV6, IPV6_MULTICAST_IF), (int)if_nametoindex("lo"), "IPV6_MULTICAST_IF");
  // A sender outside the group sends to it.
  int sender = bound(AF_INET, SOCK_DGRAM, 0);
  MUST(setsockopt(sender, IPPROTO_IP, IP_MULTICAST_IF, &out, sizeof out));
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port_of(four))};
  inet_pton(AF_INET, "239.1.2.3", &to.sin_addr);
  MUST(sendto(sender, "all", 3, 0, (struct sockaddr*)&to, sizeof to));
  char got[8];
  CHECK(soon(four, POLLIN) && recv(four, got, sizeof got, MSG_DONTWAIT) == 3, "nothing comes through the group");
  return victim_end();
}
