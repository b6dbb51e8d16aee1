// Many pairs, clients of one server, and senders to one receiver, each with something queued.
#include "tests/victims/sockets/unix/unix.h"

enum { kPairs = 600, kClients = 200, kSenders = 300 };

int main(int argc, char** argv) {
  victim_start(argc, argv);
  static int pairs[kPairs][2], clients[kClients], accepted[kClients], senders[kSenders];
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur < 4096) limit.rlim_cur = 4096;
  MUST(setrlimit(RLIMIT_NOFILE, &limit));
  const char *server = unix_path("server"), *log = unix_path("log");
  int listening = unix_server(SOCK_STREAM, server, kClients);
  int receiver = MUST(socket(AF_UNIX, SOCK_DGRAM, 0));
  unix_bind(receiver, log);
  for (int i = 0; i < kPairs; i++) {
    MUST(socketpair(AF_UNIX, i % 3 == 0 ? SOCK_DGRAM : i % 3 == 1 ? SOCK_STREAM : SOCK_SEQPACKET, 0, pairs[i]));
    MUST(send(pairs[i][0], &i, sizeof i, 0));
  }
  for (int i = 0; i < kClients; i++) {
    clients[i] = unix_client(SOCK_STREAM, server);
    accepted[i] = MUST(accept(listening, NULL, NULL));
    MUST(send(clients[i], &i, sizeof i, 0));
  }
  for (int i = 0; i < kSenders; i++) {
    senders[i] = MUST(socket(AF_UNIX, SOCK_DGRAM, 0));
    MUST(unix_try_connect(senders[i], log));
  }

  victim_wait();

  int got;
  for (int i = 0; i < kPairs; i++) {
    CHECK(recv(pairs[i][1], &got, sizeof got, MSG_DONTWAIT) == sizeof got && got == i, "pair %d", i);
    MUST(send(pairs[i][1], &i, sizeof i, MSG_NOSIGNAL));
    CHECK(recv(pairs[i][0], &got, sizeof got, MSG_DONTWAIT) == sizeof got && got == i, "pair %d, back", i);
  }
  for (int i = 0; i < kClients; i++)
    CHECK(recv(accepted[i], &got, sizeof got, MSG_DONTWAIT) == sizeof got && got == i, "client %d", i);
  for (int i = 0; i < kSenders; i++) {
    MUST(send(senders[i], &i, sizeof i, 0));
    CHECK(recv(receiver, &got, sizeof got, MSG_DONTWAIT) == sizeof got && got == i, "sender %d", i);
  }
  MUST(unlink(server));
  MUST(unlink(log));
  return victim_end();
}
