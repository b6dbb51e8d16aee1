// TCP connections within the program that one or both sides have ended, with and without bytes in flight.
#include "tests/victims/sockets/inet/inet.h"

enum { kFamilies = 2, kKinds = 7 };
static const char* const kNames[kKinds] = {
    "client ended",       "server ended",     "client ended, data", "ended behind a full window",
    "closed for reading", "both ended, data", "the peer is closed"};

// Acknowledgements may take 40 ms.
static void settle(int fd, int state) {
  int64_t deadline = clock_ns(CLOCK_MONOTONIC) + 5000000000LL;
  while (state_of(fd) != state && clock_ns(CLOCK_MONOTONIC) < deadline) sched_yield();
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  static char content[8 << 20], got[8 << 20];
  fill(content, sizeof content, 21);
  int families[kFamilies] = {AF_INET, AF_INET6};
  struct tcp_pair pairs[kFamilies][kKinds];
  int states[kFamilies][kKinds][2];
  size_t stuffed[kFamilies];
  for (int i = 0; i < kFamilies; i++) {
    int listener = listening(families[i], 0, 16);
    for (int k = 0; k < kKinds; k++) pairs[i][k] = connected(families[i], listener);
    close(listener);
    MUST(shutdown(pairs[i][0].client, SHUT_WR));
    MUST(shutdown(pairs[i][1].server, SHUT_WR));
    send_all(pairs[i][2].client, content, 3000);
    send_all(pairs[i][2].server, content + 50, 40);
    MUST(shutdown(pairs[i][2].client, SHUT_WR));
    stuffed[i] = 0;
    for (;;) {
      ssize_t put = send(pairs[i][3].client, content + stuffed[i], 65536, MSG_DONTWAIT);
      if (put <= 0) break;
      stuffed[i] += (size_t)put;
    }
    MUST(shutdown(pairs[i][3].client, SHUT_WR));
    MUST(shutdown(pairs[i][4].client, SHUT_RD));
    send_all(pairs[i][5].client, content, 2000);
    send_all(pairs[i][5].server, content + 2000, 1000);
    MUST(shutdown(pairs[i][5].client, SHUT_WR));
    CHECK(soon(pairs[i][5].server, POLLRDHUP), "the FIN does not arrive");
    MUST(shutdown(pairs[i][5].server, SHUT_WR));
    send_all(pairs[i][6].server, content, 500);
    MUST(close(pairs[i][6].server));
    pairs[i][6].server = -1;
    CHECK(soon(pairs[i][0].server, POLLRDHUP) && soon(pairs[i][1].client, POLLRDHUP) &&
              soon(pairs[i][2].server, POLLRDHUP) && soon(pairs[i][6].client, POLLRDHUP),
          "a FIN does not arrive");
    settle(pairs[i][0].client, TCP_FIN_WAIT2);
    settle(pairs[i][1].server, TCP_FIN_WAIT2);
    settle(pairs[i][2].client, TCP_FIN_WAIT2);
    settle(pairs[i][5].client, TCP_CLOSE);
    settle(pairs[i][5].server, TCP_CLOSE);
    for (int k = 0; k < kKinds; k++) {
      states[i][k][0] = state_of(pairs[i][k].client);
      states[i][k][1] = state_of(pairs[i][k].server);
    }
  }

  victim_wait();

  for (int i = 0; i < kFamilies; i++) {
    for (int k = 0; k < kKinds; k++) {
      CHECK_EQ(state_of(pairs[i][k].client), states[i][k][0], kNames[k]);
      CHECK_EQ(state_of(pairs[i][k].server), states[i][k][1], kNames[k]);
    }
    struct tcp_pair* pair = pairs[i];
    check_end(pair[0].server, kNames[0]);
    send_all(pair[0].server, "back", 4);
    CHECK(receive(pair[0].client, got, 4) == 4, "%s: the way back", kNames[0]);
    MUST(shutdown(pair[0].server, SHUT_WR));
    check_end(pair[0].client, kNames[0]);
    CHECK(send(pair[0].client, "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE, "%s: it still sends", kNames[0]);
    check_end(pair[1].client, kNames[1]);
    send_all(pair[1].client, "back", 4);
    CHECK(receive(pair[1].server, got, 4) == 4, "%s: the way back", kNames[1]);
    CHECK(receive(pair[2].server, got, 3000) == 3000 && memcmp(got, content, 3000) == 0, "%s: content", kNames[2]);
    check_end(pair[2].server, kNames[2]);
    CHECK(receive(pair[2].client, got, 40) == 40 && memcmp(got, content + 50, 40) == 0, "%s: way back", kNames[2]);
    size_t have = receive(pair[3].server, got, sizeof got);
    CHECK_EQ(have, stuffed[i], kNames[3]);
    CHECK(memcmp(got, content, have) == 0, "%s: content", kNames[3]);
    check_end(pair[3].server, kNames[3]);
    check_end(pair[4].client, kNames[4]);
    send_all(pair[4].client, "on", 2);
    CHECK(receive(pair[4].server, got, 2) == 2, "%s: sending", kNames[4]);
    CHECK(receive(pair[5].server, got, 2000) == 2000 && memcmp(got, content, 2000) == 0, "%s: content", kNames[5]);
    CHECK(receive(pair[5].client, got, 1000) == 1000 && memcmp(got, content + 2000, 1000) == 0, "%s: content",
          kNames[5]);
    check_end(pair[5].server, kNames[5]);
    check_end(pair[5].client, kNames[5]);
    CHECK(receive(pair[6].client, got, 500) == 500 && memcmp(got, content, 500) == 0, "%s: content", kNames[6]);
    check_end(pair[6].client, kNames[6]);
  }
  return victim_end();
}
