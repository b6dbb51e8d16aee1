// Sockets that share a port by an option (SO_REUSEPORT, SO_REUSEADDR) which some, or all, have reset since.
#include "tests/victims/sockets/inet/inet.h"

static int named(int family, int type, int option, int port) {
  struct sockaddr_storage at;
  int fd = MUST(socket(family, type, 0));
  set_int(fd, SOL_SOCKET, option, 1);
  socklen_t length = loopback(family, port, &at);
  MUST(bind(fd, (struct sockaddr*)&at, length));
  if (type == SOCK_STREAM) MUST(listen(fd, 4));
  return fd;
}

// Makes two sockets with one port; `taken` of them have reset the option.
static void share(int* fds, int family, int type, int option, int taken) {
  fds[0] = named(family, type, option, 0);
  fds[1] = named(family, type, option, port_of(fds[0]));
  for (int i = 0; i < taken; i++) set_int(fds[i], SOL_SOCKET, option, 0);
}

static void check_option(const int* fds, int option, int taken) {
  for (int i = 0; i < 2; i++) CHECK_EQ(get_int(fds[i], SOL_SOCKET, option), i < taken ? 0 : 1, "the option");
  CHECK_EQ(port_of(fds[0]), port_of(fds[1]), "the port");
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  int one[2], both[2], six[2], datagrams[2], addresses[2], byte = 0;
  share(one, AF_INET, SOCK_STREAM, SO_REUSEPORT, 1);
  share(both, AF_INET, SOCK_STREAM, SO_REUSEPORT, 2);
  share(six, AF_INET6, SOCK_STREAM, SO_REUSEPORT, 1);
  share(datagrams, AF_INET, SOCK_DGRAM, SO_REUSEPORT, 2);
  share(addresses, AF_INET6, SOCK_DGRAM, SO_REUSEADDR, 1);
  // A connection to one of the two.
  int client = MUST(socket(AF_INET, SOCK_STREAM, 0)), server = -1;
  connect_to(client, AF_INET, port_of(one[0]));
  for (int i = 0; i < 2 && server < 0; i++) {
    struct pollfd ready = {one[i], POLLIN, 0};
    if (poll(&ready, 1, 0) == 1) server = MUST(accept(one[i], NULL, NULL));
  }
  MUST(server);
  int sender = MUST(socket(AF_INET, SOCK_DGRAM, 0));
  connect_to(sender, AF_INET, port_of(datagrams[0]));
  MUST(send(sender, "waits", 5, 0));

  victim_wait();

  check_option(one, SO_REUSEPORT, 1);
  check_option(both, SO_REUSEPORT, 2);
  check_option(six, SO_REUSEPORT, 1);
  check_option(datagrams, SO_REUSEPORT, 2);
  check_option(addresses, SO_REUSEADDR, 1);
  MUST(send(client, "x", 1, 0));
  CHECK(receive(server, (char*)&byte, 1) == 1 && byte == 'x', "the connection");
  struct pollfd heard[] = {{datagrams[0], POLLIN, 0}, {datagrams[1], POLLIN, 0}};
  CHECK_EQ(poll(heard, 2, 0), 1, "how many of two have the datagram");
  const int* const listeners[] = {one, both};
  for (int i = 0; i < 2; i++) {
    int again = MUST(socket(AF_INET, SOCK_STREAM, 0));
    connect_to(again, AF_INET, port_of(listeners[i][0]));
    struct pollfd ready[] = {{listeners[i][0], POLLIN, 0}, {listeners[i][1], POLLIN, 0}};
    CHECK_EQ(poll(ready, 2, 2000), 1, "how many of two got a client");
    // A third socket can share the port only with the option.
    struct sockaddr_storage at;
    int third = MUST(socket(AF_INET, SOCK_STREAM, 0));
    socklen_t length = loopback(AF_INET, port_of(listeners[i][0]), &at);
    CHECK(bind(third, (struct sockaddr*)&at, length) == -1 && errno == EADDRINUSE, "a third has the port");
  }
  return victim_end();
}
