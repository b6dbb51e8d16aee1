// An MPTCP listener (as Go programs make them) with connected plain TCP clients.
#include "tests/victims/sockets/inet/inet.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

int main(int argc, char** argv) {
  victim_start(argc, argv);
  int listener = socket(AF_INET6, SOCK_STREAM, IPPROTO_MPTCP);
  if (listener < 0) listener = MUST(socket(AF_INET6, SOCK_STREAM, 0));  // a kernel without MPTCP
  int protocol = get_int(listener, SOL_SOCKET, SO_PROTOCOL);
  set_int(listener, SOL_SOCKET, SO_REUSEADDR, 1);
  set_int(listener, IPPROTO_IPV6, IPV6_V6ONLY, 0);
  struct sockaddr_in6 everybody = {.sin6_family = AF_INET6};
  MUST(bind(listener, (struct sockaddr*)&everybody, sizeof everybody));
  MUST(listen(listener, 16));
  struct tcp_pair four = connected(AF_INET, listener), six = connected(AF_INET6, listener);
  check_talk(four, "v4 before");
  send_all(six.client, "waiting", 7);

  victim_wait();

  CHECK_EQ(get_int(listener, SOL_SOCKET, SO_PROTOCOL), protocol, "SO_PROTOCOL of the listener");
  check_talk(four, "v4");
  char got[8];
  CHECK(receive(six.server, got, 7) == 7 && memcmp(got, "waiting", 7) == 0, "what had come");
  check_talk(six, "v6");
  struct tcp_pair more = connected(AF_INET, listener);
  check_talk(more, "a new one");
  return victim_end();
}
