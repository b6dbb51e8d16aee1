// UDP sockets bound to the wildcard address: one socket for both families, IP_PKTINFO, senders of either family.
#include "tests/victims/sockets/inet/inet.h"

static void hear(int fd, const char* want, bool four, const char* what) {
  char got[64], control[256];
  struct sockaddr_in6 from;
  struct iovec part = {got, sizeof got};
  struct msghdr message = {.msg_name = &from,
                           .msg_namelen = sizeof from,
                           .msg_iov = &part,
                           .msg_iovlen = 1,
                           .msg_control = control,
                           .msg_controllen = sizeof control};
  ssize_t have = recvmsg(fd, &message, MSG_DONTWAIT);
  CHECK(have == (ssize_t)strlen(want) && memcmp(got, want, strlen(want)) == 0, "%s: %zd bytes", what, have);
  if (have < 0) return;
  CHECK((IN6_IS_ADDR_V4MAPPED(&from.sin6_addr) != 0) == four, "%s: its sender is of the other family", what);
  struct in6_pktinfo info = {0};
  for (struct cmsghdr* at = CMSG_FIRSTHDR(&message); at != NULL; at = CMSG_NXTHDR(&message, at))
    if (at->cmsg_level == IPPROTO_IPV6 && at->cmsg_type == IPV6_PKTINFO) memcpy(&info, CMSG_DATA(at), sizeof info);
  struct in6_addr here = in6addr_loopback;
  if (four) {
    struct in_addr local = {htonl(INADDR_LOOPBACK)};
    memset(&here, 0, sizeof here);
    here.s6_addr[10] = here.s6_addr[11] = 0xff;
    memcpy(&here.s6_addr[12], &local, 4);
  }
  CHECK(memcmp(&info.ipi6_addr, &here, 16) == 0, "%s: sent to another address", what);
  CHECK_EQ(info.ipi6_ifindex, 1, what);
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  int both = MUST(socket(AF_INET6, SOCK_DGRAM, 0));
  set_int(both, IPPROTO_IPV6, IPV6_V6ONLY, 0);
  set_int(both, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
  set_int(both, IPPROTO_IP, IP_PKTINFO, 1);
  struct sockaddr_in6 everybody = {.sin6_family = AF_INET6};
  MUST(bind(both, (struct sockaddr*)&everybody, sizeof everybody));
  int four = bound(AF_INET, SOCK_DGRAM, 0), six = bound(AF_INET6, SOCK_DGRAM, 0);
  connect_to(four, AF_INET, port_of(both));
  connect_to(six, AF_INET6, port_of(both));
  MUST(send(four, "four", 4, 0));
  MUST(send(six, "six", 3, 0));
  MUST(send(four, "again", 5, 0));
  int odd = bound(AF_INET, SOCK_DGRAM, 0);
  set_int(odd, IPPROTO_UDP, UDP_CORK, 1);

  victim_wait();

  hear(both, "four", true, "the first");
  hear(both, "six", false, "the second");
  hear(both, "again", true, "the third");
  MUST(send(six, "more", 4, 0));
  CHECK(soon(both, POLLIN), "nothing new");
  hear(both, "more", false, "a new one");
  connect_to(odd, AF_INET, port_of(four));
  MUST(send(odd, "joined", 6, 0));
  char got[8];
  CHECK(recv(four, got, sizeof got, MSG_DONTWAIT) == -1, "the cork is gone");
  return victim_end();
}
