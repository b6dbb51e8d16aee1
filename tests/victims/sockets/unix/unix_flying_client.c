// Unaccepted connections whose clients are in flight in another socket; a listening socket in flight.
#include "tests/victims/sockets/unix/unix.h"

int main(int argc, char** argv) {
  victim_start(argc, argv);
  const char *n = unix_path("a"), *n2 = unix_path("b");
  int l = unix_server(SOCK_STREAM, n, 5), l2 = unix_server(SOCK_SEQPACKET, n2, 5);
  int c = unix_client(SOCK_STREAM, n), c2 = unix_client(SOCK_SEQPACKET, n2);
  int p[2];
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, p));
  send_rights(p[0], "c", &c, 1);
  send_rights(p[0], "l", &l2, 1);
  send_rights(p[0], "d", &c2, 1);
  close(c);
  close(c2);
  close(l2);

  victim_wait();

  char t[8];
  int f[16];
  CHECK_EQ(receive_rights(p[1], t, 8, f, 0), 1, "c");
  c = f[0];
  int a = accept(l, 0, 0);
  CHECK(a >= 0, "accept");
  check_talk(c, a, "c");
  CHECK_EQ(receive_rights(p[1], t, 8, f, 0), 1, "l");
  l2 = f[0];
  CHECK_EQ(receive_rights(p[1], t, 8, f, 0), 1, "d");
  a = accept(l2, 0, 0);
  CHECK(a >= 0, "accept2 %s", strerror(errno));
  check_talk(f[0], a, "c2");
  unlink(n);
  unlink(n2);
  return victim_end();
}
