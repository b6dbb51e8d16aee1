// Netlink sockets: route and kobject_uevent, with groups and options; they still get answers and events.
#include "tests/victims/sockets/inet/inet.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

static int membership_bits(int fd) {
  uint32_t words[4] = {0};
  socklen_t length = sizeof words;
  MUST(getsockopt(fd, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, words, &length));
  return (int)words[0];
}

// Requests the list of network links; returns their number.
static int count_links(int fd) {
  struct {
    struct nlmsghdr header;
    struct rtgenmsg body;
  } ask = {{sizeof ask, RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, 1, 0}, {AF_UNSPEC}};
  char room[65536];
  int links = 0;
  MUST(send(fd, &ask, sizeof ask, 0));
  while (soon(fd, POLLIN)) {
    ssize_t got = recv(fd, room, sizeof room, MSG_DONTWAIT);
    if (got < 0) return -1;
    unsigned left = (unsigned)got;
    for (struct nlmsghdr* at = (struct nlmsghdr*)room; NLMSG_OK(at, left); at = NLMSG_NEXT(at, left)) {
      if (at->nlmsg_type == NLMSG_DONE) return links;
      if (at->nlmsg_type == RTM_NEWLINK) links++;
    }
  }
  return -1;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  int plain = MUST(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  int listener = MUST(socket(AF_NETLINK, SOCK_DGRAM | SOCK_NONBLOCK, NETLINK_ROUTE));
  int events = MUST(socket(AF_NETLINK, SOCK_RAW, NETLINK_KOBJECT_UEVENT));
  int fresh = MUST(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
  struct sockaddr_nl address = {.nl_family = AF_NETLINK};
  MUST(bind(plain, (struct sockaddr*)&address, sizeof address));
  address.nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR;
  MUST(bind(listener, (struct sockaddr*)&address, sizeof address));
  address.nl_groups = 1;
  MUST(bind(events, (struct sockaddr*)&address, sizeof address));
  set_int(plain, SOL_NETLINK, NETLINK_EXT_ACK, 1);
  set_int(listener, SOL_NETLINK, NETLINK_NO_ENOBUFS, 1);
  set_int(events, SOL_SOCKET, SO_RCVBUF, 100000);
  struct sockaddr_nl name;
  socklen_t length = sizeof name;
  MUST(getsockname(plain, (struct sockaddr*)&name, &length));
  CHECK(count_links(plain) > 0, "no links");

  victim_wait();

  struct sockaddr_nl now;
  MUST(getsockname(plain, (struct sockaddr*)&now, &length));
  CHECK_EQ(now.nl_pid, name.nl_pid, "its port");
  CHECK_EQ(membership_bits(listener), RTMGRP_LINK | RTMGRP_IPV4_IFADDR, "groups");
  CHECK_EQ(membership_bits(events), 1, "groups of the event listener");
  CHECK_EQ(membership_bits(plain), 0, "groups of the plain one");
  CHECK_EQ(get_int(plain, SOL_NETLINK, NETLINK_EXT_ACK), 1, "NETLINK_EXT_ACK");
  CHECK_EQ(get_int(listener, SOL_NETLINK, NETLINK_NO_ENOBUFS), 1, "NETLINK_NO_ENOBUFS");
  CHECK_EQ(get_int(events, SOL_SOCKET, SO_RCVBUF), 200000, "SO_RCVBUF");
  CHECK_EQ(get_int(events, SOL_SOCKET, SO_PROTOCOL), NETLINK_KOBJECT_UEVENT, "SO_PROTOCOL");
  CHECK_EQ(get_int(listener, SOL_SOCKET, SO_TYPE), SOCK_DGRAM, "SO_TYPE");
  CHECK(count_links(plain) > 0, "no links after the move");
  CHECK(count_links(fresh) > 0, "no links through the unbound one");
  return victim_end();
}
