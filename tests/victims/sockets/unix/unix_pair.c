// Pairs of every type: content both ways, boundaries, ends that are shut down or closed, pending errors.
#include "tests/victims/sockets/unix/unix.h"

static void pair(int type, int ends[2]) {
  MUST(socketpair(AF_UNIX, type, 0, ends));
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  static const int types[] = {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM};
  int plain[3][2], shut[2][2], gone[3][2], reset[2], empty[3][2], both[2];
  for (int t = 0; t < 3; t++) {
    pair(types[t], plain[t]);
    MUST(send(plain[t][0], "first ", 6, 0));
    MUST(send(plain[t][0], "second", 6, 0));
    MUST(send(plain[t][1], "back", 4, 0));
    pair(types[t], gone[t]);
    MUST(send(gone[t][1], "last words", 10, 0));
    close(gone[t][1]);
    pair(types[t] | SOCK_NONBLOCK | SOCK_CLOEXEC, empty[t]);
  }
  for (int t = 0; t < 2; t++) {
    pair(types[t], shut[t]);
    MUST(send(shut[t][0], "before", 6, 0));
    MUST(shutdown(shut[t][0], SHUT_WR));
  }
  pair(SOCK_STREAM, reset);
  MUST(send(reset[1], "kept", 4, 0));
  MUST(send(reset[0], "unread", 6, 0));
  close(reset[1]);
  pair(SOCK_STREAM, both);
  MUST(shutdown(both[0], SHUT_RDWR));
  int duplicate = MUST(dup(empty[0][1]));

  victim_wait();

  check_receive(plain[0][1], "first second", "stream");
  check_receive(plain[1][1], "first ", "first record");
  check_receive(plain[1][1], "second", "second record");
  check_receive(plain[2][1], "first ", "first datagram");
  check_receive(plain[2][1], "second", "second datagram");
  signal(SIGPIPE, SIG_IGN);
  for (int t = 0; t < 3; t++) {
    check_receive(plain[t][0], "back", "the other way");
    check_empty(plain[t][0], "afterwards");
    check_talk(plain[t][0], plain[t][1], "a pair");
    check_name(plain[t][0], false, "", "a pair");
    check_name(plain[t][0], true, "", "a pair");
    check_receive(gone[t][0], "last words", "an end that is gone");
    char byte;
    ssize_t got = recv(gone[t][0], &byte, 1, MSG_DONTWAIT);
    if (t < 2)
      CHECK_EQ(got, 0, "end of file behind an end that is gone");
    else
      CHECK(got == -1 && errno == EAGAIN, "datagram socket behind an end that is gone");
    got = send(gone[t][0], "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    CHECK(got == -1 && errno == (t < 2 ? EPIPE : ECONNREFUSED), "type %d: send to an end that is gone: %zd %s",
          types[t], got, strerror(errno));
    check_empty(empty[t][0], "an empty pair");
  }
  for (int t = 0; t < 2; t++) {
    check_receive(shut[t][1], "before", "before the shutdown");
    char byte;
    CHECK_EQ(recv(shut[t][1], &byte, 1, MSG_DONTWAIT), 0, "end of file after a shutdown");
    CHECK(send(shut[t][0], "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE, "send after a shutdown: %s", strerror(errno));
    CHECK(send(shut[t][1], "other half", 10, 0) == 10, "the other half: %s", strerror(errno));
    check_receive(shut[t][0], "other half", "the other half");
  }
  check_receive(reset[0], "kept", "before a reset");
  char byte;
  CHECK(recv(reset[0], &byte, 1, 0) == -1 && errno == ECONNRESET, "reset: %s", strerror(errno));
  CHECK_EQ(recv(reset[0], &byte, 1, 0), 0, "after a reset");
  CHECK_EQ(recv(both[0], &byte, 1, MSG_DONTWAIT), 0, "shut down both ways");
  CHECK_EQ(recv(both[1], &byte, 1, MSG_DONTWAIT), 0, "shut down both ways, the other end");
  close(empty[0][1]);
  CHECK(send(duplicate, "dup", 3, 0) == 3, "through a duplicate: %s", strerror(errno));
  check_receive(empty[0][0], "dup", "through a duplicate");
  close(duplicate);
  CHECK_EQ(recv(empty[0][0], &byte, 1, 0), 0, "all duplicates are closed, yet no end of file: somebody holds one");
  return victim_end();
}
