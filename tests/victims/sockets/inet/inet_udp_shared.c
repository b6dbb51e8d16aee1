// UDP sockets that share one port (SO_REUSEPORT), each with its own queued datagrams; and a socket filter.
#include "tests/victims/sockets/inet/inet.h"

#include <linux/filter.h>

enum { kSockets = 4, kSenders = 24 };

int main(int argc, char** argv) {
  victim_start(argc, argv);
  int shared[kSockets], waiting[kSockets] = {0}, port = 0;
  int senders[kSenders];
  for (int i = 0; i < kSockets; i++) {
    shared[i] = MUST(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0));
    set_int(shared[i], SOL_SOCKET, SO_REUSEPORT, 1);
    struct sockaddr_storage to;
    socklen_t length = loopback(AF_INET, port, &to);
    MUST(bind(shared[i], (struct sockaddr*)&to, length));
    port = port_of(shared[0]);
  }
  for (int i = 0; i < kSenders; i++) {
    senders[i] = bound(AF_INET, SOCK_DGRAM, 0);
    connect_to(senders[i], AF_INET, port);
    MUST(send(senders[i], &i, sizeof i, 0));
  }
  // Which sender's datagram each of them has received.
  char owner[kSenders];
  memset(owner, -1, sizeof owner);
  for (int i = 0; i < kSockets; i++) {
    int which;
    while (recv(shared[i], &which, sizeof which, 0) == sizeof which) owner[which] = (char)i, waiting[i]++;
  }
  for (int i = 0; i < kSenders; i++) MUST(send(senders[i], &i, sizeof i, 0));

  int filtered = bound(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  struct sock_filter only_long[] = {BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0),
                                    BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 8 + 10, 0, 1),
                                    BPF_STMT(BPF_RET | BPF_K, 0xffff), BPF_STMT(BPF_RET | BPF_K, 0)};
  struct sock_fprog program = {4, only_long};
  MUST(setsockopt(filtered, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program));
  set_int(filtered, SOL_SOCKET, SO_LOCK_FILTER, 1);

  victim_wait();

  for (int i = 0; i < kSockets; i++) {
    int which, have = 0;
    while (recv(shared[i], &which, sizeof which, 0) == sizeof which) {
      CHECK(which >= 0 && which < kSenders && owner[which] == i, "socket %d has what came from %d", i, which);
      have++;
    }
    CHECK_EQ(have, waiting[i], "datagrams of a socket");
  }
  int total = 0;
  for (int i = 0; i < kSenders; i++) MUST(send(senders[i], &i, sizeof i, 0));
  for (int i = 0; i < kSockets; i++) {
    int which;
    while (recv(shared[i], &which, sizeof which, 0) == sizeof which) total++;
  }
  CHECK_EQ(total, kSenders, "new datagrams");
  int sender = bound(AF_INET, SOCK_DGRAM, 0);
  connect_to(sender, AF_INET, port_of(filtered));
  MUST(send(sender, "short", 5, 0));
  MUST(send(sender, "long enough", 11, 0));
  char got[32];
  CHECK_EQ(recv(filtered, got, sizeof got, 0), 11, "through the filter");
  CHECK(recv(filtered, got, sizeof got, 0) == -1, "the filter lets all in");
  CHECK_EQ(get_int(filtered, SOL_SOCKET, SO_LOCK_FILTER), 1, "SO_LOCK_FILTER");
  return victim_end();
}
