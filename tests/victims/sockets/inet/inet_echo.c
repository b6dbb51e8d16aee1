// Datagram sockets other than UDP: UDP-Lite with its checksum coverage, and ICMP echoes without privileges.
#include "tests/victims/sockets/inet/inet.h"

#include <netinet/ip_icmp.h>

enum { kUdpLite = 136, kSendCoverage = 10, kReceiveCoverage = 11 };

static void echo(int fd, const char* what) {
  struct icmphdr request = {.type = ICMP_ECHO, .un.echo.sequence = htons(5)}, answer;
  struct sockaddr_storage there;
  socklen_t length = loopback(AF_INET, 0, &there);
  MUST(sendto(fd, &request, sizeof request, 0, (struct sockaddr*)&there, length));
  CHECK(soon(fd, POLLIN) && recv(fd, &answer, sizeof answer, 0) == sizeof answer && answer.type == ICMP_ECHOREPLY &&
            answer.un.echo.sequence == htons(5),
        "no answer to %s", what);
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  struct sockaddr_storage here, name;
  int lite = socket(AF_INET, SOCK_DGRAM, kUdpLite), peer = -1;
  if (lite >= 0) {
    set_int(lite, kUdpLite, kSendCoverage, 20);
    set_int(lite, kUdpLite, kReceiveCoverage, 12);
    socklen_t length = loopback(AF_INET, 7001, &here);
    MUST(bind(lite, (struct sockaddr*)&here, length));
    peer = MUST(socket(AF_INET, SOCK_DGRAM, kUdpLite));
    MUST(connect(peer, (struct sockaddr*)&here, length));
  }
  int any = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, IPPROTO_ICMP), bound = -1;
  CHECK(any >= 0 || errno == EACCES, "an echo socket: %s", strerror(errno));
  if (any >= 0) {
    bound = MUST(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, IPPROTO_ICMP));
    socklen_t length = loopback(AF_INET, 4711, &here);
    MUST(bind(bound, (struct sockaddr*)&here, length));
    echo(bound, "an echo before the move");
  }

  victim_wait();

  if (lite >= 0) {
    char got[16];
    CHECK_EQ(get_int(lite, kUdpLite, kSendCoverage), 20, "coverage");
    CHECK_EQ(get_int(lite, kUdpLite, kReceiveCoverage), 12, "coverage of what is received");
    MUST(send(peer, "lite", 4, 0));
    CHECK(soon(lite, POLLIN) && recv(lite, got, sizeof got, 0) == 4, "nothing arrives by UDP-Lite");
  }
  if (any >= 0) {
    socklen_t length = sizeof name;
    MUST(getsockname(bound, (struct sockaddr*)&name, &length));
    CHECK_EQ(ntohs(((struct sockaddr_in*)&name)->sin_port), 4711, "identifier of the bound one");
    echo(bound, "an echo of the bound one");
    echo(any, "an echo of the other");
  }
  return victim_end();
}
