// Unaccepted connections in their order, with all kinds of names; clients that have shut down one direction.
#include "tests/victims/sockets/unix/unix.h"

enum { kClients = 4 };

int main(int argc, char** argv) {
  victim_start(argc, argv);
  static const int types[] = {SOCK_STREAM, SOCK_SEQPACKET, SOCK_STREAM};
  char abstract[40];
  snprintf(abstract, sizeof abstract, "@crxtest-backlog-%d", getpid());
  const char* names[] = {unix_path("stream"), unix_path("packets"), abstract};
  const char* client_name = unix_path("client");
  int listening[3], clients[3][kClients];
  for (int s = 0; s < 3; s++) {
    listening[s] = unix_server(types[s], names[s], 7);
    for (int i = 0; i < kClients; i++) {
      clients[s][i] = MUST(socket(AF_UNIX, types[s], 0));
      if (s == 0 && i == 2) unix_bind(clients[s][i], client_name);
      MUST(unix_try_connect(clients[s][i], names[s]));
    }
    MUST(shutdown(clients[s][1], SHUT_WR));
  }

  victim_wait();

  for (int s = 0; s < 3; s++) {
    MUST(fcntl(listening[s], F_SETFL, O_NONBLOCK));
    for (int i = 0; i < kClients; i++) {
      check_name(clients[s][i], true, names[s], "a client's peer");
      int accepted = accept(listening[s], NULL, NULL);
      CHECK(accepted >= 0, "accept %d: %s", i, strerror(errno));
      char text[20];
      snprintf(text, sizeof text, "client %d", i);
      if (i == 1) {
        char byte;
        CHECK_EQ(recv(accepted, &byte, 1, MSG_DONTWAIT), 0, "a client that has shut down its half");
      } else {
        CHECK(send(clients[s][i], text, strlen(text), 0) > 0, "send: %s", strerror(errno));
        check_receive(accepted, text, "the order of the clients");
      }
      CHECK(send(accepted, "welcome", 7, 0) == 7, "answer: %s", strerror(errno));
      check_receive(clients[s][i], "welcome", "an answer");
      struct ucred who = {0};
      socklen_t size = sizeof who;
      MUST(getsockopt(accepted, SOL_SOCKET, SO_PEERCRED, &who, &size));
      CHECK_EQ(who.pid, getpid(), "SO_PEERCRED of an accepted client");
      check_name(accepted, true, s == 0 && i == 2 ? client_name : "", "the client's name");
      close(accepted);
    }
    CHECK(accept(listening[s], NULL, NULL) == -1 && errno == EAGAIN, "one more connection: %s", strerror(errno));
    if (names[s][0] == '/') CHECK(unlink(names[s]) == 0, "unlink %s: %s", names[s], strerror(errno));
  }
  CHECK(unlink(client_name) == 0, "unlink %s: %s", client_name, strerror(errno));
  return victim_end();
}
