// Full queues: nothing more goes in, everything comes out, and empty packets count as packets.
#include "tests/victims/sockets/unix/unix.h"

static size_t stuff(int fd, const char* content, size_t size) {
  size_t sent = 0;
  ssize_t bytes;
  while ((bytes = send(fd, content, size, MSG_DONTWAIT)) > 0) sent += (size_t)bytes;
  return sent;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  static char content[1 << 16], got[1 << 20];
  fill(content, sizeof content, 9);
  int stream[2], large[2], packets[2], empties[2], big[2];
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, stream));
  size_t in_stream = stuff(stream[0], content, 1000);
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, large));
  size_t in_large = stuff(large[0], content, sizeof content);
  MUST(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, packets));
  size_t in_packets = stuff(packets[0], content, 3000);
  MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, empties));
  MUST(send(empties[0], "", 0, 0));
  MUST(send(empties[0], "one", 3, 0));
  MUST(send(empties[0], "", 0, 0));
  MUST(send(empties[0], "", 0, 0));
  MUST(send(empties[0], "two", 3, 0));
  MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, big));
  MUST(send(big[0], content, sizeof content, 0));
  MUST(send(big[0], content, 10, 0));

  victim_wait();

  size_t have = 0;
  ssize_t bytes;
  while ((bytes = recv(stream[1], got, 777, MSG_DONTWAIT)) > 0) {
    for (ssize_t i = 0; i < bytes; i++)
      if (got[i] != content[(have + (size_t)i) % 1000]) {
        victim_fail("stream: byte %zu", have + (size_t)i);
        break;
      }
    have += (size_t)bytes;
  }
  CHECK_EQ(have, in_stream, "bytes in the stream");
  have = 0;
  while ((bytes = recv(large[1], got, sizeof got, MSG_DONTWAIT)) > 0) have += (size_t)bytes;
  CHECK_EQ(have, in_large, "bytes in the large stream");
  have = 0;
  while ((bytes = recv(packets[1], got, sizeof got, MSG_DONTWAIT)) > 0) {
    CHECK(bytes == 3000 && memcmp(got, content, 3000) == 0, "a record of %zd bytes", bytes);
    have += (size_t)bytes;
  }
  CHECK_EQ(have, in_packets, "bytes in records");
  check_receive(empties[1], "", "an empty datagram");
  check_receive(empties[1], "one", "a datagram between");
  check_receive(empties[1], "", "the second empty datagram");
  check_receive(empties[1], "", "the third empty datagram");
  check_receive(empties[1], "two", "the last datagram");
  check_empty(empties[1], "the empties");
  CHECK(recv(big[1], got, sizeof got, MSG_DONTWAIT) == sizeof content && memcmp(got, content, sizeof content) == 0,
        "a big datagram");
  CHECK_EQ(recv(big[1], got, sizeof got, MSG_DONTWAIT), 10, "a small one after it");
  check_talk(stream[0], stream[1], "stream");
  CHECK(stuff(stream[0], content, 1000) > in_stream / 2, "the stream has less room than before");
  return victim_end();
}
