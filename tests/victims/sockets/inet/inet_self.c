// Sockets that are connected to themselves: TCP, UDP, unix datagrams.
#include "tests/victims/sockets/inet/inet.h"

#include <sys/un.h>

int main(int argc, char** argv) {
  victim_start(argc, argv);
  int t = bound(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_storage to;
  socklen_t n = loopback(AF_INET, port_of(t), &to);
  MUST(connect(t, (void*)&to, n));
  MUST(send(t, "tcp", 3, 0));
  int u = bound(AF_INET6, SOCK_DGRAM, 0);
  n = loopback(AF_INET6, port_of(u), &to);
  MUST(connect(u, (void*)&to, n));
  MUST(send(u, "udp", 3, 0));
  int d = MUST(socket(AF_UNIX, SOCK_DGRAM, 0));
  struct sockaddr_un a = {.sun_family = AF_UNIX};
  snprintf(a.sun_path + 1, 50, "crx-self-%d-%lld", getpid(), (long long)clock_ns(CLOCK_REALTIME));
  MUST(bind(d, (void*)&a, 40));
  MUST(connect(d, (void*)&a, 40));
  MUST(send(d, "unix", 4, 0));

  victim_wait();

  char b[10];
  int f[3] = {t, u, d};
  const char* w[3] = {"tcp", "udp", "unix"};
  for (int i = 0; i < 3; i++) {
    memset(b, 0, 10);
    CHECK(recv(f[i], b, 9, MSG_DONTWAIT) > 0 && !strcmp(b, w[i]), "%s: %s %s", w[i], b, strerror(errno));
    CHECK(send(f[i], "again", 5, 0) == 5, "send");
    memset(b, 0, 10);
    struct pollfd p = {f[i], POLLIN, 0};
    poll(&p, 1, 1000);
    CHECK(recv(f[i], b, 9, MSG_DONTWAIT) == 5 && !strcmp(b, "again"), "%s again: %s", w[i], b);
  }
  return victim_end();
}
