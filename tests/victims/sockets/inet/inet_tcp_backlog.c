// Unaccepted connections whose clients are in the program.
#include "tests/victims/sockets/inet/inet.h"

int main(int argc, char** argv) {
  victim_start(argc, argv);
  int families[2] = {AF_INET, AF_INET6};
  int listener[2], clients[2][5];
  for (int i = 0; i < 2; i++) {
    listener[i] = listening(families[i], 0, 8);
    for (int c = 0; c < 5; c++) {
      clients[i][c] = MUST(socket(families[i], SOCK_STREAM, 0));
      connect_to(clients[i][c], families[i], port_of(listener[i]));
    }
    MUST(shutdown(clients[i][4], SHUT_WR));
    CHECK(soon(listener[i], POLLIN), "nobody waits");
  }

  victim_wait();

  for (int i = 0; i < 2; i++) {
    bool seen[5] = {false};
    for (int c = 0; c < 5; c++) {
      struct sockaddr_storage from;
      socklen_t length = sizeof from;
      CHECK(soon(listener[i], POLLIN), "connection %d is lost", c);
      int server = accept4(listener[i], (struct sockaddr*)&from, &length, SOCK_NONBLOCK);
      if (server < 0) {
        victim_fail("accept: %s", strerror(errno));
        break;
      }
      int port = ntohs(from.ss_family == AF_INET ? ((struct sockaddr_in*)&from)->sin_port
                                                 : ((struct sockaddr_in6*)&from)->sin6_port);
      int which = -1;
      for (int k = 0; k < 5; k++)
        if (port_of(clients[i][k]) == port) which = k;
      CHECK(which >= 0 && !seen[which], "a connection from port %d", port);
      if (which < 0) continue;
      seen[which] = true;
      struct tcp_pair pair = {clients[i][which], server};
      if (which < 4) {
        check_talk(pair, "accepted");
      } else {
        check_end(server, "accepted, ended");
        send_all(server, "x", 1);
        char byte;
        CHECK(receive(pair.client, &byte, 1) == 1, "the way back");
      }
    }
  }
  return victim_end();
}
