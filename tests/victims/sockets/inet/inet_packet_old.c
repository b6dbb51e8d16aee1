// Packet sockets of the old type (SOCK_PACKET), which get their protocol from socket(2) and are bound to an interface's
// name.
#include "tests/victims/sockets/inet/inet.h"

#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>

#define EXPERIMENTAL 0x88b5

static int made(int protocol, const char* device) {
  int fd = MUST(socket(AF_PACKET, SOCK_PACKET | SOCK_NONBLOCK, htons((uint16_t)protocol)));
  struct sockaddr to = {.sa_family = AF_PACKET};
  strcpy(to.sa_data, device);
  if (device[0] != 0) MUST(bind(fd, &to, sizeof to));
  return fd;
}

static void check_device(int fd, const char* want) {
  struct sockaddr name = {0};
  socklen_t length = sizeof name;
  MUST(getsockname(fd, &name, &length));
  CHECK(strncmp(name.sa_data, want, sizeof name.sa_data) == 0, "it is bound to \"%.14s\", not \"%s\"", name.sa_data,
        want);
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  int bound_one = made(EXPERIMENTAL, "lo"), loose = made(EXPERIMENTAL, ""), all = made(ETH_P_ALL, "lo"),
      other = made(EXPERIMENTAL + 1, "lo");
  set_int(bound_one, SOL_SOCKET, SO_PRIORITY, 3);

  victim_wait();

  check_device(bound_one, "lo");
  check_device(loose, "");
  check_device(all, "lo");
  CHECK_EQ(get_int(bound_one, SOL_SOCKET, SO_TYPE), SOCK_PACKET, "SO_TYPE");
  CHECK_EQ(get_int(bound_one, SOL_SOCKET, SO_PRIORITY), 3, "SO_PRIORITY");
  struct ethhdr header = {.h_proto = htons(EXPERIMENTAL)};
  char frame[64] = {0}, got[2000];
  memcpy(frame, &header, sizeof header);
  while (recv(all, got, sizeof got, MSG_DONTWAIT) >= 0) continue;
  int sender = MUST(socket(AF_PACKET, SOCK_PACKET, 0));
  struct sockaddr_pkt to = {.spkt_family = AF_PACKET, .spkt_device = "lo", .spkt_protocol = htons(EXPERIMENTAL)};
  MUST(sendto(sender, frame, sizeof frame, 0, (struct sockaddr*)&to, sizeof to));
  CHECK(soon(bound_one, POLLIN), "the bound one hears nothing");
  CHECK(soon(loose, POLLIN), "the loose one hears nothing");
  CHECK(soon(all, POLLIN), "the one for all protocols hears nothing");
  CHECK_EQ(recv(other, got, sizeof got, MSG_DONTWAIT), -1, "the one for another protocol hears");
  return victim_end();
}
