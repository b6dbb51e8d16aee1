// tcp_server ADDRESS PORT: accepts three connections, prints "ready", sends back all that the first receives until it
// ends, then checks the second (ended by the client) and the third (ended here), and prints PASS or the difference.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void must(int result, const char* what) {
  if (result >= 0) return;
  printf("FAIL: %s: %s\n", what, strerror(errno));
  fflush(stdout);
  exit(1);
}

static void check(int condition, const char* what) {
  if (!condition) printf("FAIL: %s\n", what);
}

static int state_of(int fd) {
  struct tcp_info info;
  socklen_t length = sizeof info;
  memset(&info, 0, sizeof info);
  getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length);
  return info.tcpi_state;
}

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argv[2]))};
  inet_pton(AF_INET, argv[1], &at.sin_addr);
  int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1, echo[3];
  must(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one), "reuse");
  must(bind(listener, (struct sockaddr*)&at, sizeof at), "bind");
  must(listen(listener, 5), "listen");
  printf("listening\n");
  fflush(stdout);
  for (int i = 0; i < 3; i++) must(echo[i] = accept(listener, NULL, NULL), "accept");
  must((int)send(echo[2], "done!", 5, 0), "send");
  must(shutdown(echo[2], SHUT_WR), "shutdown");
  printf("ready\n");
  fflush(stdout);
  static char room[1 << 18];
  for (;;) {
    ssize_t got = recv(echo[0], room, sizeof room, 0);
    must((int)got, "receiving");
    if (got == 0) break;
    for (ssize_t put = 0; put < got;) {
      ssize_t more = send(echo[0], room + put, (size_t)(got - put), MSG_NOSIGNAL);
      must((int)more, "sending");
      put += more;
    }
  }
  must(shutdown(echo[0], SHUT_WR), "ending");
  check(state_of(echo[1]) == TCP_CLOSE_WAIT, "the second connection is not in CLOSE_WAIT");
  check(recv(echo[1], room, 100, MSG_WAITALL) == 4 && memcmp(room, "half", 4) == 0, "the second connection's bytes");
  check(recv(echo[1], room, 100, 0) == 0, "the second connection's end");
  check(send(echo[1], "answer", 6, MSG_NOSIGNAL) == 6, "the second connection's way back");
  close(echo[1]);
  check(recv(echo[2], room, 100, MSG_WAITALL) == 5 && memcmp(room, "later", 5) == 0, "the third connection's bytes");
  check(recv(echo[2], room, 100, 0) == 0, "the third connection's end");
  printf("PASS\n");
  fflush(stdout);
  return 0;
}
